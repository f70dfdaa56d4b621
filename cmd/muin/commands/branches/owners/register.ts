import { OwnerSchema, OwnerService } from "../../../../../internal/gen/muin/identity/v1/owner_service_pb.ts";
import { plain } from "../../../remote/plain-message.ts";
import { remoteCommand } from "../../../remote/remote-command.ts";
import { businessOptions, ownerOf } from "./owner.ts";

/** `muin branches owners register`. */
export const register = remoteCommand({
  name: "register",
  description: "make a person who has signed up an owner",
  arguments: { userId: { help: "the person" } },
  options: businessOptions,
  examples: [
    'muin branches owners register 0199c5f2-7a11-7bb2-9c01-5e8d2f7a6b33 --company "Muscle & Co." --email office@example.com',
  ],
  call: async ({ userId, ...business }, { client }) =>
    (await client(OwnerService).registerOwner({ owner: ownerOf(userId, business) })).owner,
  json: plain(OwnerSchema),
  print: ({ userId }, output) => output.print(`${userId} is an owner`),
});
