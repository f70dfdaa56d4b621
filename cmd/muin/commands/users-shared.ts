import { timestampDate } from "@bufbuild/protobuf/wkt";
import type { Client } from "@connectrpc/connect";
import { Role, UserStatus, type RoleAssignment } from "../../../internal/gen/muin/identity/v1/user_pb.ts";
import { UserSchema, UserService, type User } from "../../../internal/gen/muin/identity/v1/user_service_pb.ts";
import type { Cli } from "../cli.ts";
import { connect, type Connection } from "../remote/connection.ts";
import { Failure } from "../terminal/failure.ts";
import type { RemoteOptions } from "../terminal/options.ts";
import { plainMessage } from "../remote/plain-message.ts";

/** What `<user>` is in every command. */
export const userArgument = "id or e-mail address of a person";

/** The words for roles on the command line. */
export const roles: Readonly<Record<string, Role>> = {
  administrator: Role.ADMINISTRATOR,
  owner: Role.OWNER,
  helper: Role.HELPER,
  member: Role.MEMBER,
};

/** The words for statuses on the command line. */
export const statuses: Readonly<Record<string, UserStatus>> = {
  active: UserStatus.ACTIVE,
  suspended: UserStatus.SUSPENDED,
  deleted: UserStatus.DELETED,
};

/** What a command does with the one person that it names. */
export interface Named {
  readonly client: Connection["client"];
  readonly users: Client<typeof UserService>;
  readonly userId: string;
  readonly signal: AbortSignal;
}

/** Connects and finds the person: an e-mail address is looked up, anything else is an id. */
export async function named(user: string, options: RemoteOptions, cli: Cli): Promise<Named> {
  const { client } = await connect(options, cli.env);
  const users = client(UserService);
  const signal = cli.signal();
  if (!user.includes("@")) return { client, users, userId: user, signal };
  const { users: found } = await users.listUsers({ email: user, pageSize: 2 }, { signal });
  const [first, second] = found;
  if (first === undefined) throw new Failure("notFound", `nobody has the e-mail address ${user}`);
  if (second !== undefined)
    throw new Failure("usage", `several people have the e-mail address ${user}; name one by id`);
  return { client, users, userId: first.userId, signal };
}

/** Prints a person that was read or changed. */
export function printUser(user: User | undefined, options: RemoteOptions, cli: Cli): void {
  if (user === undefined) return;
  if (options.json === true) {
    cli.output.json(plainMessage(UserSchema, user));
    return;
  }
  for (const [name, value] of factsOf(user)) if (value !== "") cli.output.print(`${name.padEnd(12)}${value}`);
}

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
  const from = fromTime === undefined ? "" : ` from ${minuteOf(timestampDate(fromTime))}`;
  const until = untilTime === undefined ? "" : ` until ${minuteOf(timestampDate(untilTime))}`;
  return plan + from + until + (paused ? " (paused)" : "");
}

function factsOf(user: User): readonly (readonly [name: string, value: string])[] {
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
    ["signed up", user.createTime === undefined ? "" : minuteOf(timestampDate(user.createTime))],
  ];
}

function wordOf(words: Readonly<Record<string, number>>, value: number): string {
  return Object.entries(words).find(([, each]) => each === value)?.[0] ?? `unknown (${value})`;
}

function minuteOf(date: Date): string {
  return `${date.toISOString().slice(0, 16).replace("T", " ")}Z`;
}
