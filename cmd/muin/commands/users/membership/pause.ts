import { UserService } from "../../../../../internal/gen/muin/identity/v1/user_service_pb.ts";
import { remoteCommand } from "../../../remote/remote-command.ts";
import { userArgument, userIdOf, userShown } from "../person.ts";

/** `muin users membership pause`. */
export const pause = remoteCommand({
  name: "pause",
  description: "let a membership rest: it is good for nothing then",
  arguments: { user: userArgument },
  examples: ["muin users membership pause ada@example.org"],
  call: async ({ user }, muin) =>
    (await muin.client(UserService).pauseMembership({ userId: await userIdOf(user, muin) })).user,
  ...userShown,
});
