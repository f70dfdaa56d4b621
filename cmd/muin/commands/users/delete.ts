import { UserService } from "../../../../internal/gen/muin/identity/v1/user_service_pb.ts";
import { remoteCommand } from "../../remote/remote-command.ts";
import { Failure } from "../../terminal/failure.ts";
import { erasureShown } from "./erasure.ts";
import { userArgument, userIdOf } from "./person.ts";

/** `muin users delete`. */
export const remove = remoteCommand({
  name: "delete",
  description: "delete a person for good, with all that is held of them",
  arguments: { user: userArgument },
  options: { yes: { help: "confirm it: there is no way back" } },
  examples: ["muin users delete ada@example.org --yes"],
  call: async ({ user, yes }, muin) => {
    if (yes !== true) throw new Failure("usage", `there is no way back; to delete ${user}, add --yes`);
    return (await muin.client(UserService).deleteUser({ userId: await userIdOf(user, muin) })).erasure;
  },
  ...erasureShown,
});
