import { OwnerSchema, OwnerService } from "../../../../../internal/gen/muin/identity/v1/owner_service_pb.ts";
import { plain } from "../../../remote/plain-message.ts";
import { remoteCommand } from "../../../remote/remote-command.ts";
import { ownerArgument, ownerColumns } from "./owner.ts";

/** `muin branches owners get`. */
export const get = remoteCommand({
  name: "get",
  description: "show an owner",
  arguments: { userId: ownerArgument },
  examples: ["muin branches owners get 0199c5f2-7a11-7bb2-9c01-5e8d2f7a6b33"],
  call: async ({ userId }, { client }) => (await client(OwnerService).getOwner({ userId })).owner,
  json: plain(OwnerSchema),
  print: (owner, output) =>
    output.table(Object.keys(ownerColumns), [Object.values(ownerColumns).map((cell) => cell(owner))]),
});
