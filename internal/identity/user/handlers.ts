import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import { MembershipSchema, RoleAssignmentSchema } from "../../gen/muin/identity/v1/user_pb.ts";
import {
  PreferencesSchema,
  UserSchema,
  type Preferences,
  type User,
  type UserService,
} from "../../gen/muin/identity/v1/user_service_pb.ts";
import type { Clock } from "../../platform/clock/clock.ts";
import { callerOf, personOf, type Caller } from "../../platform/identity/caller.ts";
import type { Logger } from "../../platform/telemetry/logger.ts";
import { checkPersonOrScopes, hasScope } from "../../platform/resource/caller-scopes.ts";
import { resourceErrors } from "../../platform/resource/errors.ts";
import { pageOf } from "../../platform/resource/page-token.ts";
import type { DataOfOthers } from "./data-copy.ts";
import type { Erasures } from "./erasure.ts";
import { toErasure } from "./erasure.ts";
import { userErrors } from "./errors.ts";
import { preferencesEtagOf, withPreferences, type PreferencesRecord } from "./preferences.ts";
import type { UserQuery, UserStore } from "./store.ts";
import type { UserChanges } from "./user-changes.ts";
import {
  assignedRoleOf,
  membershipEnded,
  membershipPaused,
  membershipSet,
  profileChange,
  reactivated,
  roleNames,
  roleGiven,
  roleTaken,
  statusNames,
  suspended,
  toUser,
  type AssignedRole,
  type Change,
  type UserRecord,
} from "./user.ts";

const readScope = "users.read";
const manageScope = "users.manage";
/** A copy of a person's data tells what they did. */
const auditScope = "audit.read";
/** Who may give every scope may give the role that holds them all. */
const administratorScope = "scopes.manage";

/** What the RPCs use. */
export interface HandlersDeps {
  readonly store: Pick<UserStore, "get" | "list" | "preferences" | "changePreferences" | "erasure">;
  readonly changes: Pick<UserChanges, "update" | "changeStatus">;
  readonly erasures: Pick<Erasures, "begin">;
  /** What other services hold of a person. Rejects unless all of them answer. */
  readonly copyOfOthers: (userId: string, signal: AbortSignal) => Promise<DataOfOthers>;
  readonly clock: Clock;
  readonly log: Logger;
}

/** The RPCs of UserService. */
export function createHandlers(deps: HandlersDeps): ServiceImpl<typeof UserService> {
  const { store, changes, erasures, copyOfOthers, clock, log } = deps;

  /** Who did what to whom, where it was not to themself: ids, nothing personal. */
  const note = (context: HandlerContext, userId: string): void => {
    const caller = callerOf(context);
    if (isOwn(caller, userId)) return;
    log.info("acts on another person", { method: context.method.name, user_id: userId, principal: caller.principal });
  };
  /** What a caller who may manage people made of a person. */
  const managed = async (
    context: HandlerContext,
    userId: string,
    change: Change,
    options?: { readonly guarded?: boolean },
  ): Promise<{ user: User }> => {
    const caller = callerOf(context);
    const target = targetOf(caller, userId);
    note(context, target);
    return shown(caller, found(caller, target, await changes.update(target, change, options)));
  };
  const withRole = (
    context: HandlerContext,
    userId: string,
    { role, branchId }: AssignedRole,
    change: Change,
  ): Promise<{ user: User }> => {
    const isAdministrator = role === "ADMINISTRATOR" && branchId === "";
    if (isAdministrator && !hasScope(callerOf(context), administratorScope))
      throw userErrors.administratorScopeMissing({ scope: administratorScope });
    return managed(context, userId, change, { guarded: isAdministrator });
  };
  const withStatus = async (context: HandlerContext, userId: string, change: Change): Promise<{ user: User }> => {
    const caller = callerOf(context);
    const target = targetOf(caller, userId);
    if (isOwn(caller, target)) throw userErrors.ownStatus();
    note(context, target);
    return shown(caller, found(caller, target, await changes.changeStatus(target, change)));
  };
  const preferencesOf = async (userId: string, record: PreferencesRecord | undefined) => {
    if (record !== undefined) return { preferences: toPreferences(record) };
    throw (await store.get(userId)) === undefined
      ? userErrors.profileNotReady()
      : userErrors.userDeleted({ user_id: userId });
  };

  return {
    getUser: async ({ userId }, context) => {
      const caller = callerOf(context);
      const target = permitted(caller, userId, readScope);
      return shown(caller, found(caller, target, await store.get(target)));
    },

    listUsers: async (request, context) => {
      const caller = callerOf(context);
      const query: UserQuery = {
        role: roleNames.get(request.role),
        branchId: request.branchId.replaceAll("\0", " "),
        status: statusNames.get(request.status),
        plan: request.plan,
        email: request.email.replaceAll("\0", " ").toLowerCase(),
      };
      const token = ["ListUsers", query.role, query.branchId, query.status, query.plan, query.email];
      const { page, nextPageToken } = await pageOf(
        token,
        request,
        (after, limit) => store.list(query, after, limit),
        (record) => record.userId,
      );
      return { users: page.map((record) => shown(caller, record).user), nextPageToken };
    },

    updateUser: async (request, context) => {
      const caller = callerOf(context);
      const user = request.user ?? create(UserSchema);
      const target = permitted(caller, user.userId, manageScope);
      const change = profileChange(user, request.updateMask?.paths);
      note(context, target);
      return shown(caller, found(caller, target, await changes.update(target, change)));
    },

    getPreferences: async ({ userId }, context) => {
      const target = ownId(context, userId);
      return preferencesOf(target, await store.preferences(target));
    },

    updatePreferences: async ({ userId, preferences }, context) => {
      const target = ownId(context, userId);
      const { values, etag } = preferences ?? create(PreferencesSchema);
      const after = await store.changePreferences(target, (before) => withPreferences(before, values, etag));
      return preferencesOf(target, after);
    },

    assignRole: ({ userId, assignment }, context) => {
      const assigned = assignedRoleOf(assignment ?? create(RoleAssignmentSchema));
      return withRole(context, userId, assigned, roleGiven(assigned));
    },

    unassignRole: ({ userId, assignment }, context) => {
      const assigned = assignedRoleOf(assignment ?? create(RoleAssignmentSchema));
      return withRole(context, userId, assigned, roleTaken(assigned));
    },

    setMembership: ({ userId, membership, etag }, context) =>
      managed(context, userId, membershipSet(membership ?? create(MembershipSchema), etag)),
    pauseMembership: ({ userId }, context) => managed(context, userId, membershipPaused(true)),
    resumeMembership: ({ userId }, context) => managed(context, userId, membershipPaused(false)),
    endMembership: ({ userId }, context) => managed(context, userId, membershipEnded()),

    suspendUser: ({ userId, reason }, context) =>
      withStatus(context, userId, suspended(reason, callerOf(context).principal)),
    reactivateUser: ({ userId }, context) => withStatus(context, userId, reactivated(callerOf(context).principal)),

    exportUserData: async ({ userId }, context) => {
      const caller = callerOf(context);
      const target = permitted(caller, userId, manageScope, auditScope);
      note(context, target);
      const record = found(caller, target, await store.get(target));
      const { preferences } = await preferencesOf(target, await store.preferences(target));
      return {
        exportTime: timestampFromMs(clock.now()),
        user: toUser(record, { suspendReason: true }),
        preferences,
        ...(await copyOfOthers(target, context.signal)),
      };
    },

    deleteUser: async ({ userId }, context) => {
      const caller = callerOf(context);
      const target = permitted(caller, userId, manageScope);
      note(context, target);
      return { erasure: toErasure(found(caller, target, await erasures.begin(target, caller.principal))) };
    },

    getErasure: async ({ erasureId }) => {
      const erasure = await store.erasure({ erasureId });
      if (erasure === undefined) throw userErrors.erasureNotFound();
      return { erasure: toErasure(erasure) };
    },
  };
}

/** Whom a request names: "me" is the person who calls. */
function targetOf(caller: Caller, userId: string): string {
  if (userId !== "me") return userId;
  if (caller.kind !== "person") throw resourceErrors.personOnly();
  return caller.id;
}

/** The id of the person who calls, whom the request must name. */
function ownId(context: HandlerContext, userId: string): string {
  const person = personOf(context);
  const target = targetOf(person, userId);
  if (target !== person.id) throw resourceErrors.personOnly();
  return target;
}

/** Whom a request names, if the caller is that person or holds the scopes. Told before whether there is such a person. */
function permitted(caller: Caller, userId: string, ...scopes: readonly string[]): string {
  const target = targetOf(caller, userId);
  checkPersonOrScopes(caller, target, ...scopes);
  return target;
}

function isOwn(caller: Caller, userId: string): boolean {
  return caller.kind === "person" && caller.id === userId;
}

/** What was found of a person; who calls for themself has signed up, and is there in a moment. */
function found<T>(caller: Caller, userId: string, record: T | undefined): T {
  if (record !== undefined) return record;
  throw isOwn(caller, userId) ? userErrors.profileNotReady() : userErrors.userNotFound({ user_id: userId });
}

function shown(caller: Caller, record: UserRecord): { user: User } {
  return { user: toUser(record, { suspendReason: hasScope(caller, readScope) }) };
}

function toPreferences(record: PreferencesRecord): Preferences {
  return create(PreferencesSchema, { values: { ...record.values }, etag: preferencesEtagOf(record) });
}
