import { UserService } from "../../../../internal/gen/muin/identity/v1/user_service_pb.ts";
import { remoteCommand } from "../../remote/remote-command.ts";
import { userArgument, userIdOf, userShown } from "./person.ts";

/** `muin users suspend`. */
export const suspend = remoteCommand({
  name: "suspend",
  description: "bar a person: their sessions end everywhere within a second",
  arguments: { user: userArgument },
  options: { reason: { value: "text", help: "why, for whoever reads it later", required: true } },
  examples: ['muin users suspend ada@example.org --reason "lost card"'],
  call: async ({ user, reason }, muin) =>
    (await muin.client(UserService).suspendUser({ userId: await userIdOf(user, muin), reason })).user,
  ...userShown,
});
