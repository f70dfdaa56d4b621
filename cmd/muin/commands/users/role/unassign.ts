import { UserService } from "../../../../../internal/gen/muin/identity/v1/user_service_pb.ts";
import { remoteCommand } from "../../../remote/remote-command.ts";
import { roles, userIdOf, userShown } from "../person.ts";
import { assignmentArguments, assignmentOptions } from "./assignment.ts";

/** `muin users role unassign`. */
export const unassign = remoteCommand({
  name: "unassign",
  description: "take a role from a person",
  arguments: assignmentArguments,
  options: assignmentOptions,
  examples: [
    "muin users role unassign ada@example.org administrator",
    "muin users role unassign ada@example.org helper --branch gangnam",
  ],
  call: async ({ user, role, branch = "" }, muin) => {
    const assignment = { role: roles[role], branchId: branch };
    return (await muin.client(UserService).unassignRole({ userId: await userIdOf(user, muin), assignment })).user;
  },
  ...userShown,
});
