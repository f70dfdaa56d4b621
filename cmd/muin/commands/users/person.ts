import { Role, UserStatus, type RoleAssignment } from "../../../../internal/gen/muin/identity/v1/user_pb.ts";
import { UserSchema, UserService, type User } from "../../../../internal/gen/muin/identity/v1/user_service_pb.ts";
import { plain } from "../../remote/plain-message.ts";
import type { Remote } from "../../remote/remote-command.ts";
import { printFacts, type Fact } from "../../terminal/facts.ts";
import { Failure } from "../../terminal/failure.ts";
import type { Output } from "../../terminal/output.ts";
import { minuteText } from "../../terminal/time-text.ts";

/** The person that a command is about. */
export const userArgument = { help: "id or e-mail address of a person" } as const;

/** The words for roles on the command line. */
export const roles = {
  administrator: Role.ADMINISTRATOR,
  owner: Role.OWNER,
  helper: Role.HELPER,
  member: Role.MEMBER,
} as const;

/** The words for statuses on the command line. */
export const statuses = {
  active: UserStatus.ACTIVE,
  suspended: UserStatus.SUSPENDED,
  deleted: UserStatus.DELETED,
} as const;

/** The id of the person: an e-mail address is looked up, anything else is an id. */
export async function userIdOf(user: string, { client }: Pick<Remote, "client">): Promise<string> {
  if (!user.includes("@")) return user;
  const { users } = await client(UserService).listUsers({ email: user, pageSize: 2 });
  const [first, second] = users;
  if (first === undefined) throw new Failure("notFound", `nobody has the e-mail address ${user}`);
  if (second !== undefined) {
    throw new Failure("usage", `several people have the e-mail address ${user}; name one by id`);
  }
  return first.userId;
}

/** How a person that was read or changed is shown. */
export const userShown = {
  json: plain(UserSchema),
  print: (user: User, output: Output): void => printFacts(factsOf(user), output),
} as const;

/** The word for a status. */
export function statusWord(status: UserStatus): string {
  return wordOf(statuses, status);
}

/** Roles as one writes them: "helper of b1". */
export function rolesText(assignments: readonly RoleAssignment[]): string {
  return assignments
    .map(({ role, branchId }) => wordOf(roles, role) + (branchId === "" ? "" : ` of ${branchId}`))
    .join(", ");
}

/** A membership as one writes it: "standard until 2027-01-01 00:00Z (paused)". */
export function membershipText({ membership }: User): string {
  if (membership === undefined) return "";
  const { plan, fromTime, untilTime, paused } = membership;
  const from = fromTime === undefined ? "" : ` from ${minuteText(fromTime)}`;
  const until = untilTime === undefined ? "" : ` until ${minuteText(untilTime)}`;
  return plan + from + until + (paused ? " (paused)" : "");
}

function factsOf(user: User): readonly Fact[] {
  return [
    ["id", user.userId],
    ["e-mail", user.email],
    ["name", user.displayName],
    ["status", statusWord(user.status) + (user.suspendReason === "" ? "" : `: ${user.suspendReason}`)],
    ["roles", rolesText(user.roleAssignments)],
    ["membership", membershipText(user)],
    ["locale", user.locale],
    ["time zone", user.timeZone],
    ["telephone", user.phoneNumber],
    ["picture", user.pictureUri],
    ["signed up", minuteText(user.createTime)],
  ];
}

function wordOf(words: Readonly<Record<string, number>>, value: number): string {
  return Object.entries(words).find(([, each]) => each === value)?.[0] ?? `unknown (${value})`;
}
