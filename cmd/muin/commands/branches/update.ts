import { BranchSchema } from "../../../../internal/gen/muin/identity/v1/branch_pb.ts";
import { BranchService } from "../../../../internal/gen/muin/identity/v1/branch_service_pb.ts";
import { remoteCommand } from "../../remote/remote-command.ts";
import { Failure } from "../../terminal/failure.ts";
import { branchArgument, changedBranchShown, etagOption } from "./branch-argument.ts";
import { contentOf, contentOptions, mergedContent } from "./branch-content.ts";

/** `muin branches update`. */
export const update = remoteCommand({
  name: "update",
  description: "change what is given of a branch",
  arguments: { branchId: branchArgument },
  options: { ...contentOptions, name: { value: "text", help: "name for people" }, etag: etagOption },
  examples: [
    "muin branches update 0199c5f2-6f0c-7aa0-8d6e-0a4f3a6b1c55 --facility shower --facility parking --capacity 40",
  ],
  call: async ({ branchId, etag, ...given }, { client, stdin }) => {
    const service = client(BranchService);
    const change = await contentOf(given, stdin);
    const paths = BranchSchema.fields
      .filter(({ localName }) => Object.hasOwn(change, localName))
      .map(({ name }) => name);
    if (paths.length === 0) throw new Failure("usage", "nothing to change was given; see --help");
    // What stands beside a given part of the address or of the entry rules stays as it is.
    const { branch: present } = await service.getBranch({ branchId });
    const branch = { ...mergedContent(change, present), branchId, etag: etag ?? present?.etag ?? "" };
    return (await service.updateBranch({ branch, updateMask: { paths } })).branch;
  },
  ...changedBranchShown("updated"),
});
