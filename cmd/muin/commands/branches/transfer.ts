import { BranchService } from "../../../../internal/gen/muin/identity/v1/branch_service_pb.ts";
import { remoteCommand } from "../../remote/remote-command.ts";
import { branchArgument, changedBranchShown, etagOption } from "./branch-argument.ts";

/** `muin branches transfer`. */
export const transfer = remoteCommand({
  name: "transfer",
  description: "give a branch to another owner",
  arguments: { branchId: branchArgument, userId: { help: "the new owner" } },
  options: { etag: etagOption },
  examples: ["muin branches transfer 0199c5f2-6f0c-7aa0-8d6e-0a4f3a6b1c55 0199c5f2-7a11-7bb2-9c01-5e8d2f7a6b33"],
  call: async ({ branchId, userId, etag = "" }, { client }) =>
    (await client(BranchService).transferBranch({ branchId, ownerId: userId, etag })).branch,
  ...changedBranchShown("transferred"),
});
