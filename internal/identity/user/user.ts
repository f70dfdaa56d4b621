import { create } from "@bufbuild/protobuf";
import { timestampFromMs, timestampMs, type Timestamp } from "@bufbuild/protobuf/wkt";
import { UserSchema, type User } from "../../gen/muin/identity/v1/user_service_pb.ts";
import {
  MembershipSchema,
  Role,
  RoleAssignmentSchema,
  UserStatus,
  type Membership,
  type RoleAssignment,
} from "../../gen/muin/identity/v1/user_pb.ts";
import { applyUpdate } from "../../platform/resource/update-mask.ts";
import { fieldInvalid, resourceErrors } from "../../platform/resource/errors.ts";
import * as etag from "../../platform/resource/etag.ts";
import { userErrors } from "./errors.ts";

/** Roles that one person may have: one in each of many branches. */
const rolesMax = 100;
const timeMsMin = Date.parse("0001-01-01T00:00:00Z");
const timeMsEnd = Date.parse("9999-12-31T23:59:59.999Z") + 1;
const updatable = ["display_name", "locale", "time_zone", "phone_number", "picture_uri"] as const;

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

/** A membership; absent times are open ends. */
export interface MembershipRecord {
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

/** A person as user knows them. */
export interface UserRecord extends Profile {
  readonly userId: string;
  readonly email: string;
  readonly status: StatusName;
  readonly suspendReason: string;
  /** In the order of role and branch, each once. */
  readonly roles: readonly AssignedRole[];
  readonly membership: MembershipRecord | undefined;
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

/** A change of a person: what they become, or `before` itself when nothing changes. Throws MuinError when it is not allowed. */
export type Change = (before: UserRecord) => UserRecord;

/** The first state of who has just signed up. */
export function newcomer(
  account: { readonly userId: string; readonly email: string; readonly displayName: string },
  roles: readonly string[],
  createTimeMs: number,
): UserRecord {
  const known = roles.map((role) => role.toUpperCase()).filter((role): role is RoleName => isRoleName(role));
  return {
    ...account,
    ...emptyProfile,
    displayName: account.displayName,
    status: "ACTIVE",
    suspendReason: "",
    roles: sorted(known.map((role) => ({ role, branchId: "" }))),
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

/** The etag of what a caller saw of a person. */
export function etagOf({ version, statusVersion }: UserRecord): string {
  return etag.etagOf(version, statusVersion);
}

/** A person as callers see them; the reason of a suspension only where it is asked for. */
export function toUser(record: UserRecord, show: { readonly suspendReason: boolean }): User {
  return create(UserSchema, {
    userId: record.userId,
    email: record.email,
    ...profileOf(record),
    status: UserStatus[record.status],
    suspendReason: show.suspendReason ? record.suspendReason : "",
    roleAssignments: record.roles.map(toAssignment),
    ...(record.membership === undefined ? {} : { membership: toMembership(record.membership) }),
    etag: etagOf(record),
    createTime: timestampFromMs(record.createTimeMs),
    updateTime: timestampFromMs(record.updateTimeMs),
  });
}

/** A role as callers and consumers see it. */
export function toAssignment({ role, branchId }: AssignedRole): RoleAssignment {
  return create(RoleAssignmentSchema, { role: Role[role], branchId });
}

/** A membership as callers and consumers see it. */
export function toMembership({ plan, fromTimeMs, untilTimeMs, paused }: MembershipRecord): Membership {
  return create(MembershipSchema, {
    plan,
    paused,
    ...(fromTimeMs === undefined ? {} : { fromTime: timestampFromMs(fromTimeMs) }),
    ...(untilTimeMs === undefined ? {} : { untilTime: timestampFromMs(untilTimeMs) }),
  });
}

/** A change of the profile that follows the rules (AIP-134). Throws INVALID_ARGUMENT. */
export function profileChange(user: User, mask: readonly string[] | undefined): Change {
  // Looked at before there is a person to change: a mask that may not be is refused whatever it would change.
  applyUpdate(UserSchema, create(UserSchema), user, { mask, allowed: updatable });
  const given: User = { ...user, locale: localeOf(user.locale), timeZone: timeZoneOf(user.timeZone) };
  checkText("user.display_name", user.displayName);
  checkPicture(user.pictureUri);
  return (before) => {
    checkEtag(before, user.etag);
    const target = create(UserSchema, profileOf(before));
    applyUpdate(UserSchema, target, given, { mask, allowed: updatable });
    return { ...before, ...profileOf(target) };
  };
}

/** Gives a role. Throws INVALID_ARGUMENT for a role that cannot be of one branch. */
export function roleGiven(assigned: AssignedRole): Change {
  return (before) => {
    if (hasRole(before, assigned)) return before;
    if (before.roles.length >= rolesMax) throw userErrors.tooManyRoles({ roles_max: `${rolesMax}` });
    return { ...before, roles: sorted([...before.roles, assigned]) };
  };
}

/** Takes a role. */
export function roleTaken(assigned: AssignedRole): Change {
  return (before) =>
    hasRole(before, assigned)
      ? { ...before, roles: before.roles.filter((each) => !isSameRole(each, assigned)) }
      : before;
}

/** A role that there can be. Throws INVALID_ARGUMENT otherwise. */
export function assignedRoleOf({ role, branchId }: RoleAssignment): AssignedRole {
  const name = roleNames.get(role);
  if (name === undefined) throw fieldInvalid("assignment.role", "must be a role");
  if (!/^[!-~]*$/.test(branchId)) throw fieldInvalid("assignment.branch_id", "must be the id of a branch");
  if (branchId !== "" && (name === "ADMINISTRATOR" || name === "OWNER")) {
    throw fieldInvalid("assignment.branch_id", `must be empty: ROLE_${name} holds everywhere`);
  }
  return { role: name, branchId };
}

/** Gives a membership in place of the one before. Throws INVALID_ARGUMENT for one that ends before it begins. */
export function membershipSet({ plan, fromTime, untilTime, paused }: Membership, given: string): Change {
  if (plan === "") throw fieldInvalid("membership.plan", "must name a plan, such as standard");
  const fromTimeMs = timeOf("membership.from_time", fromTime);
  const untilTimeMs = timeOf("membership.until_time", untilTime);
  if (fromTimeMs !== undefined && untilTimeMs !== undefined && fromTimeMs >= untilTimeMs) {
    throw fieldInvalid("membership.until_time", "must be after from_time");
  }
  const membership = { plan, fromTimeMs, untilTimeMs, paused };
  return (before) => {
    checkEtag(before, given);
    return { ...before, membership };
  };
}

/** Lets a membership rest, or go on. */
export function membershipPaused(paused: boolean): Change {
  return (before) => {
    if (before.membership === undefined) throw userErrors.noMembership({ user_id: before.userId });
    return { ...before, membership: { ...before.membership, paused } };
  };
}

/** Takes the membership away. */
export function membershipEnded(): Change {
  return (before) => ({ ...before, membership: undefined });
}

/** Bars a person. */
export function suspended(reason: string, statusPrincipal: string): Change {
  checkText("reason", reason);
  return (before) => ({ ...before, status: "SUSPENDED", suspendReason: reason, statusPrincipal });
}

/** Admits a person again. */
export function reactivated(statusPrincipal: string): Change {
  return (before) => ({ ...before, status: "ACTIVE", suspendReason: "", statusPrincipal });
}

/** What is left of a deleted person: nothing personal. */
export function deleted(statusPrincipal: string): Change {
  return (before) => ({
    ...before,
    ...emptyProfile,
    email: "",
    status: "DELETED",
    statusPrincipal,
    suspendReason: "",
    roles: [],
    membership: undefined,
  });
}

/**
 * What a change makes of a person who is not deleted, its versions and time included; `before` itself when nothing changes.
 * `others` is how many other active administrators there are: the last one stays.
 */
export function afterChange(before: UserRecord, change: Change, others: number, nowMs: number): UserRecord {
  if (before.status === "DELETED") throw userErrors.userDeleted({ user_id: before.userId });
  const after = change(before);
  if (isAdministrator(before) && !isAdministrator(after) && others === 0) throw userErrors.lastAdministrator();
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

/** Whether the text can be anybody's id. */
export function isUserId(text: string): boolean {
  return /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(text);
}

const emptyProfile: Profile = { displayName: "", locale: "", timeZone: "", phoneNumber: "", pictureUri: "" };

function profileOf({ displayName, locale, timeZone, phoneNumber, pictureUri }: Profile): Profile {
  return { displayName, locale, timeZone, phoneNumber, pictureUri };
}

/** What UserUpdated carries. */
function contentOf(record: UserRecord): unknown {
  const { email, roles, membership } = record;
  return [email, profileOf(record), roles, membership ?? null];
}

function isAdministrator({ status, roles }: UserRecord): boolean {
  return status === "ACTIVE" && roles.some(({ role }) => role === "ADMINISTRATOR");
}

function isRoleName(name: string): name is RoleName {
  return name === "ADMINISTRATOR" || name === "OWNER" || name === "HELPER" || name === "MEMBER";
}

function isSameRole(a: AssignedRole, b: AssignedRole): boolean {
  return a.role === b.role && a.branchId === b.branchId;
}

function hasRole({ roles }: UserRecord, assigned: AssignedRole): boolean {
  return roles.some((each) => isSameRole(each, assigned));
}

function sorted(roles: readonly AssignedRole[]): readonly AssignedRole[] {
  const key = ({ role, branchId }: AssignedRole): string => `${Role[role]} ${branchId}`;
  return roles.toSorted((a, b) => (key(a) < key(b) ? -1 : 1));
}

function checkEtag(before: UserRecord, given: string): void {
  if (!etag.isCurrent(given, etagOf(before))) throw resourceErrors.etagMismatch({ resource: `user ${before.userId}` });
}

/** Half a surrogate pair is no character, and no store takes it. */
function checkText(field: string, text: string): void {
  if (!text.isWellFormed()) throw fieldInvalid(field, "must be well-formed text");
}

/** The canonical form of a language tag; a well-formed one whose language nobody speaks, such as "english", is refused. */
function localeOf(text: string): string {
  if (text === "") return "";
  try {
    const { language, baseName } = new Intl.Locale(text);
    const names = new Intl.DisplayNames(["en"], { type: "language", fallback: "none" });
    if (baseName !== "" && names.of(language) !== undefined) return Intl.getCanonicalLocales(text)[0] ?? "";
  } catch {
    // Not a language tag.
  }
  throw fieldInvalid("user.locale", 'must be a BCP 47 language tag such as "ko-KR"');
}

/** A time zone of the IANA database, spelled as it is there. */
function timeZoneOf(text: string): string {
  if (text === "") return "";
  try {
    // Offsets such as "+09:00" are accepted by the platform too, but are no places.
    if (/^[A-Za-z]/.test(text)) return new Intl.DateTimeFormat("en", { timeZone: text }).resolvedOptions().timeZone;
  } catch {
    // Not a time zone.
  }
  throw fieldInvalid("user.time_zone", 'must be an IANA time zone such as "Asia/Seoul"');
}

/** A time that every form of a Timestamp can say, to the millisecond. */
function timeOf(field: string, time: Timestamp | undefined): number | undefined {
  const ms = time && timestampMs(time);
  if (ms !== undefined && !(ms >= timeMsMin && ms < timeMsEnd)) {
    throw fieldInvalid(field, "must be within the years 1 to 9999");
  }
  return ms;
}

function checkPicture(text: string): void {
  if (text === "") return;
  const url = URL.parse(text);
  if (url?.protocol !== "https:" || url.hostname === "" || url.username !== "" || url.password !== "") {
    throw fieldInvalid("user.picture_uri", "must be an https address without user name and password");
  }
}
