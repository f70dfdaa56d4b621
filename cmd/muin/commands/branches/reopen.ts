import { BranchService } from "../../../../internal/gen/muin/identity/v1/branch_service_pb.ts";
import { remoteCommand } from "../../remote/remote-command.ts";
import { branchArgument, changedBranchShown, etagOption } from "./branch-argument.ts";

/** `muin branches reopen`. */
export const reopen = remoteCommand({
  name: "reopen",
  description: "run a closed branch again",
  arguments: { branchId: branchArgument },
  options: { etag: etagOption },
  examples: ["muin branches reopen 0199c5f2-6f0c-7aa0-8d6e-0a4f3a6b1c55"],
  call: async ({ branchId, etag = "" }, { client }) =>
    (await client(BranchService).reopenBranch({ branchId, etag })).branch,
  ...changedBranchShown("reopened"),
});
