import { create } from "@bufbuild/protobuf";
import type { ServiceImpl } from "@connectrpc/connect";
import { StaffMemberSchema, StaffRole } from "../../../gen/muin/identity/v1/branch_pb.ts";
import type { BranchService } from "../../../gen/muin/identity/v1/branch_service_pb.ts";
import { callerOf } from "../../../platform/identity/caller.ts";
import { etagOf } from "../../../platform/resource/etag.ts";
import { pageOf } from "../../../platform/resource/page-token.ts";
import { orThrow } from "../../../platform/errors/refusal.ts";
import type { StaffRules } from "./rules.ts";

/** Serves who works for branches. */
export function createStaffHandlers({
  rules,
}: {
  readonly rules: StaffRules;
}): Pick<ServiceImpl<typeof BranchService>, "addStaff" | "removeStaff" | "listStaff"> {
  return {
    addStaff: async ({ branchId, staffMember, etag }, context) => {
      const member = staffMember ?? create(StaffMemberSchema);
      const { userId } = member;
      const role = member.role === StaffRole.MANAGER ? "MANAGER" : "ATTENDANT"; // Validation lets no other in.
      const answer = await rules.add(callerOf(context), { branchId, etag }, userId, role);
      return { staffMember: member, etag: etagOf(orThrow(answer).version) };
    },

    removeStaff: async ({ branchId, userId, etag }, context) => {
      const answer = await rules.remove(callerOf(context), { branchId, etag }, userId);
      return { etag: etagOf(orThrow(answer).version) };
    },

    listStaff: async (request, context) => {
      const { branchId } = request;
      const { page, nextPageToken } = await pageOf(
        ["staff", branchId],
        request,
        async (after, limit) => orThrow(await rules.list(callerOf(context), branchId, after, limit)),
        ({ userId }) => userId,
      );
      return {
        staff: page.map(({ userId, role, displayName }) => ({
          staffMember: { userId, role: StaffRole[role] },
          displayName,
        })),
        nextPageToken,
      };
    },
  };
}
