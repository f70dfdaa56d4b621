import { BranchService } from "../../../../internal/gen/muin/identity/v1/branch_service_pb.ts";
import { remoteCommand } from "../../remote/remote-command.ts";
import { changedBranchShown } from "./branch-argument.ts";
import { contentOf, contentOptions } from "./branch-content.ts";

/** `muin branches create`. */
export const create = remoteCommand({
  name: "create",
  description: "create a branch",
  arguments: { name: { help: "name for people" } },
  options: { ...contentOptions, owner: { value: "user-id", help: "whose it is (default: yours)" } },
  examples: [
    'muin branches create "Gangnam" --owner 0199c5f2-6f0c-7aa0-8d6e-0a4f3a6b1c55 --time-zone Asia/Seoul --country KR --locality Gangnam-gu',
    'muin branches create "Mitte" --time-zone Europe/Berlin --from branch.json',
  ],
  call: async (given, { client, repeat, random, stdin }) => {
    const request = { branch: await contentOf(given, stdin), requestId: random.uuid() };
    return (await repeat(() => client(BranchService).createBranch(request))).branch;
  },
  ...changedBranchShown("created"),
});
