import { Role, UserStatus } from "../../../../internal/gen/muin/identity/v1/user_pb.ts";
import { UserSchema, UserService } from "../../../../internal/gen/muin/identity/v1/user_service_pb.ts";
import { plain } from "../../remote/plain-message.ts";
import { remoteCommand } from "../../remote/remote-command.ts";
import { namesOf } from "../../terminal/values.ts";
import { membershipText, roles, rolesText, statuses, statusWord } from "./person.ts";

/** `muin users list`. */
export const list = remoteCommand({
  name: "list",
  description: "list people in the order in which they signed up",
  options: {
    role: { value: "role", help: "only who has this role", choices: namesOf(roles) },
    branch: { value: "branch-id", help: "only who has a role of this branch" },
    status: {
      value: "status",
      help: "only people of this status (default: all but deleted ones)",
      choices: namesOf(statuses),
    },
    plan: { value: "plan", help: "only members of this plan" },
  },
  examples: ["muin users list", "muin users list --role helper --branch gangnam --json"],
  read: async ({ role, branch = "", status, plan = "" }, { client }, page) => {
    const filter = {
      role: role === undefined ? Role.UNSPECIFIED : roles[role],
      branchId: branch,
      status: status === undefined ? UserStatus.UNSPECIFIED : statuses[status],
      plan,
    };
    const { users, nextPageToken } = await client(UserService).listUsers({ ...filter, ...page });
    return { entries: users, nextPageToken };
  },
  json: plain(UserSchema),
  columns: {
    USER: ({ userId }) => userId,
    "E-MAIL": ({ email }) => email,
    NAME: ({ displayName }) => displayName,
    STATUS: ({ status }) => statusWord(status),
    ROLES: ({ roleAssignments }) => rolesText(roleAssignments),
    MEMBERSHIP: membershipText,
  },
  none: "there are no such people",
});
