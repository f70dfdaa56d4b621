import { OwnerSchema, OwnerService } from "../../../../../internal/gen/muin/identity/v1/owner_service_pb.ts";
import { plain } from "../../../remote/plain-message.ts";
import { remoteCommand } from "../../../remote/remote-command.ts";
import { Failure } from "../../../terminal/failure.ts";
import { businessOptions, ownerArgument, ownerOf } from "./owner.ts";

/** `muin branches owners update`. */
export const update = remoteCommand({
  name: "update",
  description: "change what is given of an owner; an empty text takes it away",
  arguments: { userId: ownerArgument },
  options: businessOptions,
  examples: ["muin branches owners update 0199c5f2-7a11-7bb2-9c01-5e8d2f7a6b33 --phone +82212345678"],
  call: async ({ userId, ...business }, { client }) => {
    const { company, email, phone } = business;
    const given = { company_name: company, contact_email: email, contact_phone_number: phone };
    const paths = Object.entries(given).flatMap(([name, value]) => (value === undefined ? [] : [name]));
    if (paths.length === 0) throw new Failure("usage", "nothing to change was given; see --help");
    return (await client(OwnerService).updateOwner({ owner: ownerOf(userId, business), updateMask: { paths } })).owner;
  },
  json: plain(OwnerSchema),
  print: ({ userId }, output) => output.print(`updated ${userId}`),
});
