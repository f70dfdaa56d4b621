import { Role, UserStatus } from "../../../gen/muin/identity/v1/user_pb.ts";
import { isRefusal, type Refusal } from "../../../platform/errors/refusal.ts";
import { scopesOf } from "../../shared/role.ts";
import { refuse } from "../errors.ts";

/** The statuses and roles in the words of the database. */
export type StatusName = "ACTIVE" | "SUSPENDED" | "DELETED";
export type RoleName = "ADMINISTRATOR" | "OWNER" | "HELPER" | "MEMBER";

/** The words of the protos in those of the database. */
export const roleNames: ReadonlyMap<Role, RoleName> = new Map([
  [Role.ADMINISTRATOR, "ADMINISTRATOR"],
  [Role.OWNER, "OWNER"],
  [Role.HELPER, "HELPER"],
  [Role.MEMBER, "MEMBER"],
]);
export const statusNames: ReadonlyMap<UserStatus, StatusName> = new Map([
  [UserStatus.ACTIVE, "ACTIVE"],
  [UserStatus.SUSPENDED, "SUSPENDED"],
  [UserStatus.DELETED, "DELETED"],
]);

/** A role and the branch where it holds, empty for everywhere. */
export interface AssignedRole {
  readonly role: RoleName;
  readonly branchId: string;
}

/** What a membership says; absent times are open ends. */
export interface MembershipTerms {
  readonly plan: string;
  readonly fromTimeMs: number | undefined;
  readonly untilTimeMs: number | undefined;
  readonly paused: boolean;
}

/** What a person may say of themself. Empty for none. */
export interface Profile {
  readonly displayName: string;
  readonly locale: string;
  readonly timeZone: string;
  readonly phoneNumber: string;
  readonly pictureUri: string;
}

/** A person as user knows them. Times are in milliseconds since the Unix epoch. */
export interface Person extends Profile {
  readonly userId: string;
  readonly email: string;
  readonly status: StatusName;
  readonly suspendReason: string;
  /** In the order of role and branch, each once. */
  readonly roles: readonly AssignedRole[];
  readonly membership: MembershipTerms | undefined;
  /** Grows with every change of what UserUpdated carries. */
  readonly version: number;
  /** When the version became what it is, as UserUpdated says. */
  readonly versionTimeMs: number;
  /** Grows with every change of the status. */
  readonly statusVersion: number;
  readonly statusTimeMs: number;
  /** Who changed the status last; empty before the first change. */
  readonly statusPrincipal: string;
  readonly createTimeMs: number;
  readonly updateTimeMs: number;
}

/** Why a change of a person was refused. */
export type ChangeRefusal = Refusal<
  | "userNotFound"
  | "userDeleted"
  | "personHoldsMore"
  | "etagMismatch"
  | "lastAdministrator"
  | "tooManyRoles"
  | "noMembership"
>;

/** What a person who is not deleted becomes; versions and times are not for it to say. Changes nothing where it returns `before`. */
export type Change = (before: Person) => Person | ChangeRefusal;

const emptyProfile: Profile = { displayName: "", locale: "", timeZone: "", phoneNumber: "", pictureUri: "" };

/** The first state of who has just signed up. Roles that this version does not know are left out. */
export function newcomer(
  account: { readonly userId: string; readonly email: string; readonly displayName: string },
  roles: readonly string[],
  createTimeMs: number,
): Person {
  const known = roles.map((role) => role.toUpperCase()).filter((role): role is RoleName => isRoleName(role));
  return {
    ...emptyProfile,
    ...account,
    status: "ACTIVE",
    suspendReason: "",
    roles: inOrder(known.map((role) => ({ role, branchId: "" }))),
    membership: undefined,
    version: 1,
    versionTimeMs: createTimeMs,
    statusVersion: 1,
    statusTimeMs: createTimeMs,
    statusPrincipal: "",
    createTimeMs,
    updateTimeMs: createTimeMs,
  };
}

/** What is left of a deleted person: nothing personal. */
export function erased(before: Person, statusPrincipal: string): Person {
  return {
    ...before,
    ...emptyProfile,
    email: "",
    status: "DELETED",
    statusPrincipal,
    suspendReason: "",
    roles: [],
    membership: undefined,
  };
}

/**
 * What a change makes of the person of an id, `undefined` when there is none; `before` itself when nothing changes. `others` is how many
 * other active administrators there are: the last one stays.
 */
export function changed(
  userId: string,
  before: Person | undefined,
  change: Change,
  others: number,
  nowMs: number,
): Person | ChangeRefusal {
  if (before === undefined) return refuse("userNotFound", { user_id: userId });
  if (before.status === "DELETED") return refuse("userDeleted", { user_id: userId });
  const after = change(before);
  if (isRefusal(after)) return after;
  if (isAdministrator(before) && !isAdministrator(after) && others === 0) return refuse("lastAdministrator");
  return revised(before, after, nowMs);
}

/** `after` with the versions and times that follow from its difference to `before`; `before` itself when there is none. */
export function revised(before: Person, after: Person, nowMs: number): Person {
  const isUpdated = JSON.stringify(contentOf(after)) !== JSON.stringify(contentOf(before));
  const isOtherStatus = after.status !== before.status;
  if (!isUpdated && !isOtherStatus && after.suspendReason === before.suspendReason) return before;
  // A clock that was set back does not make a later change look earlier.
  const updateTimeMs = Math.max(nowMs, before.updateTimeMs);
  return {
    ...after,
    // A deleted person is announced by their status alone: there is nothing more to say of them.
    ...(isUpdated && after.status !== "DELETED" ? { version: before.version + 1, versionTimeMs: updateTimeMs } : {}),
    ...(isOtherStatus
      ? { statusVersion: before.statusVersion + 1, statusTimeMs: updateTimeMs }
      : { statusPrincipal: before.statusPrincipal }),
    updateTimeMs,
  };
}

/** Refuses a change that was asked for with the etag of an earlier state. */
export function stale({ userId }: Person): Refusal<"etagMismatch"> {
  return refuse("etagMismatch", { resource: `user ${userId}` });
}

/** The profile alone. */
export function profileOf({ displayName, locale, timeZone, phoneNumber, pictureUri }: Profile): Profile {
  return { displayName, locale, timeZone, phoneNumber, pictureUri };
}

/** The same roles in the order of `Person.roles`. */
export function inOrder(roles: readonly AssignedRole[]): readonly AssignedRole[] {
  const key = ({ role, branchId }: AssignedRole): string => `${Role[role]} ${branchId}`;
  return roles.toSorted((a, b) => (key(a) < key(b) ? -1 : 1));
}

/** The scopes that the roles give: those that hold everywhere do. */
export function scopesOfRoles(roles: readonly AssignedRole[]): readonly string[] {
  return scopesOf(roles.filter(({ branchId }) => branchId === "").map(({ role }) => role.toLowerCase()));
}

/** What UserUpdated carries. */
function contentOf(person: Person): unknown {
  const { email, roles, membership } = person;
  return [email, profileOf(person), roles, membership ?? null];
}

function isAdministrator({ status, roles }: Person): boolean {
  return status === "ACTIVE" && roles.some(({ role }) => role === "ADMINISTRATOR");
}

function isRoleName(name: string): name is RoleName {
  return name === "ADMINISTRATOR" || name === "OWNER" || name === "HELPER" || name === "MEMBER";
}
