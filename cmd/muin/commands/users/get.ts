import { UserService } from "../../../../internal/gen/muin/identity/v1/user_service_pb.ts";
import { remoteCommand } from "../../remote/remote-command.ts";
import { userArgument, userIdOf, userShown } from "./person.ts";

/** `muin users get`. */
export const get = remoteCommand({
  name: "get",
  description: "show a person",
  arguments: { user: userArgument },
  examples: ["muin users get ada@example.org"],
  call: async ({ user }, muin) => (await muin.client(UserService).getUser({ userId: await userIdOf(user, muin) })).user,
  ...userShown,
});
