import { UserService } from "../../../../../internal/gen/muin/identity/v1/user_service_pb.ts";
import { remoteCommand } from "../../../remote/remote-command.ts";
import { userArgument, userIdOf, userShown } from "../person.ts";

/** `muin users membership end`. */
export const end = remoteCommand({
  name: "end",
  description: "take a membership away at once",
  arguments: { user: userArgument },
  examples: ["muin users membership end ada@example.org"],
  call: async ({ user }, muin) =>
    (await muin.client(UserService).endMembership({ userId: await userIdOf(user, muin) })).user,
  ...userShown,
});
