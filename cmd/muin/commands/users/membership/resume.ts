import { UserService } from "../../../../../internal/gen/muin/identity/v1/user_service_pb.ts";
import { remoteCommand } from "../../../remote/remote-command.ts";
import { userArgument, userIdOf, userShown } from "../person.ts";

/** `muin users membership resume`. */
export const resume = remoteCommand({
  name: "resume",
  description: "go on with a membership that rests",
  arguments: { user: userArgument },
  examples: ["muin users membership resume ada@example.org"],
  call: async ({ user }, muin) =>
    (await muin.client(UserService).resumeMembership({ userId: await userIdOf(user, muin) })).user,
  ...userShown,
});
