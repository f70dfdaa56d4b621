import { create } from "@bufbuild/protobuf";
import type { ServiceImpl } from "@connectrpc/connect";
import { BranchSchema, BranchState } from "../../../gen/muin/identity/v1/branch_pb.ts";
import type { BranchService } from "../../../gen/muin/identity/v1/branch_service_pb.ts";
import { callerOf } from "../../../platform/identity/caller.ts";
import { personIdOf } from "../../../platform/resource/caller-scopes.ts";
import { fieldInvalid } from "../../../platform/resource/errors.ts";
import { pageOf } from "../../../platform/resource/page-token.ts";
import { orThrow } from "../../../platform/errors/refusal.ts";
import { branchOwnerErrors } from "../errors.ts";
import { managesAll } from "./access.ts";
import { contentOf, toBranch } from "./content.ts";
import type { BranchRules } from "./rules.ts";
import type { BranchStateName } from "./store.ts";

/** Branches in one reply: each can be large. */
const branchesPageMax = 100;

const stateNames: ReadonlyMap<number, BranchStateName> = new Map([
  [BranchState.ACTIVE, "ACTIVE"],
  [BranchState.CLOSED, "CLOSED"],
]);

/** Serves branches, but for their staff and hours. */
export function createBranchHandlers(deps: {
  readonly rules: BranchRules;
}): Pick<
  ServiceImpl<typeof BranchService>,
  "createBranch" | "getBranch" | "listBranches" | "updateBranch" | "closeBranch" | "reopenBranch" | "transferBranch"
> {
  const { rules } = deps;

  return {
    createBranch: async ({ branch, requestId }, context) => {
      const caller = callerOf(context);
      const given = branch ?? create(BranchSchema);
      const ownerId = given.ownerId === "" ? personIdOf(caller) : given.ownerId;
      if (!managesAll(caller) && (ownerId === "" || ownerId !== personIdOf(caller))) {
        throw branchOwnerErrors.branchForbidden();
      }
      if (ownerId === "") throw fieldInvalid("branch.owner_id", "must name an owner: an API key owns nothing");
      const answer = await rules.create(caller, { ownerId, content: contentOf(given), requestId });
      return { branch: orThrow(answer) };
    },

    getBranch: async ({ branchId }, context) => ({
      branch: toBranch(orThrow(await rules.get(callerOf(context), branchId, "see"))),
    }),

    listBranches: async (request, context) => {
      const { ownerId, facility, countryCode, locality } = request;
      const query = { ownerId, state: stateNames.get(request.state), facility, countryCode, locality };
      const { page, nextPageToken } = await pageOf(
        ["branches", query],
        { pageToken: request.pageToken, pageSize: Math.min(request.pageSize, branchesPageMax) },
        async (after, limit) => orThrow(await rules.list(callerOf(context), query, after, limit)),
        ({ branchId }) => branchId,
      );
      return { branches: page.map(toBranch), nextPageToken };
    },

    updateBranch: async ({ branch, updateMask }, context) => {
      const given = branch ?? create(BranchSchema);
      const { branchId, etag } = given;
      if (branchId === "") throw fieldInvalid("branch.branch_id", "must name the branch");
      const answer = await rules.update(callerOf(context), { branchId, etag }, given, updateMask?.paths);
      return { branch: toBranch(orThrow(answer)) };
    },

    closeBranch: async ({ branchId, etag }, context) => ({
      branch: toBranch(orThrow(await rules.close(callerOf(context), { branchId, etag }))),
    }),

    reopenBranch: async ({ branchId, etag }, context) => ({
      branch: toBranch(orThrow(await rules.reopen(callerOf(context), { branchId, etag }))),
    }),

    transferBranch: async ({ branchId, ownerId, etag }, context) => {
      const answer = await rules.transfer(callerOf(context), { branchId, etag }, ownerId);
      return { branch: toBranch(orThrow(answer)) };
    },
  };
}
