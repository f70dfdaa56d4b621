import { BranchService } from "../../../../../internal/gen/muin/identity/v1/branch_service_pb.ts";
import { remoteCommand } from "../../../remote/remote-command.ts";
import { branchArgument } from "../branch-argument.ts";

/** `muin branches staff remove`. */
export const remove = remoteCommand({
  name: "remove",
  description: "end a person's work for a branch",
  arguments: { branchId: branchArgument, userId: { help: "the person" } },
  examples: ["muin branches staff remove 0199c5f2-6f0c-7aa0-8d6e-0a4f3a6b1c55 0199c5f2-7a11-7bb2-9c01-5e8d2f7a6b33"],
  call: ({ branchId, userId }, { client }) => client(BranchService).removeStaff({ branchId, userId }),
  json: ({ etag }, { branchId, userId }) => ({ branch_id: branchId, user_id: userId, etag }),
  print: (_reply, output, { branchId, userId }) => output.print(`${userId} does not work for ${branchId} any more`),
});
