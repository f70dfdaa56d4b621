import { UserService } from "../../../../internal/gen/muin/identity/v1/user_service_pb.ts";
import { remoteCommand } from "../../remote/remote-command.ts";
import { userArgument, userIdOf, userShown } from "./person.ts";

/** `muin users reactivate`. */
export const reactivate = remoteCommand({
  name: "reactivate",
  description: "admit a suspended person again",
  arguments: { user: userArgument },
  examples: ["muin users reactivate ada@example.org"],
  call: async ({ user }, muin) =>
    (await muin.client(UserService).reactivateUser({ userId: await userIdOf(user, muin) })).user,
  ...userShown,
});
