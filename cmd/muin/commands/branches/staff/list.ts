import { StaffRole } from "../../../../../internal/gen/muin/identity/v1/branch_pb.ts";
import { BranchService, StaffEntrySchema } from "../../../../../internal/gen/muin/identity/v1/branch_service_pb.ts";
import { plain } from "../../../remote/plain-message.ts";
import { remoteCommand } from "../../../remote/remote-command.ts";
import { branchArgument } from "../branch-argument.ts";

/** `muin branches staff list`. */
export const list = remoteCommand({
  name: "list",
  description: "list who works for a branch",
  arguments: { branchId: branchArgument },
  examples: ["muin branches staff list 0199c5f2-6f0c-7aa0-8d6e-0a4f3a6b1c55"],
  read: async ({ branchId }, { client }, page) => {
    const { staff, nextPageToken } = await client(BranchService).listStaff({ branchId, ...page });
    return { entries: staff, nextPageToken };
  },
  json: plain(StaffEntrySchema),
  columns: {
    PERSON: ({ staffMember }) => staffMember?.userId ?? "",
    NAME: ({ displayName }) => displayName,
    ROLE: ({ staffMember }) => (staffMember?.role === StaffRole.MANAGER ? "manager" : "attendant"),
  },
  none: "nobody works for this branch",
});
