import type { HandlerContext } from "@connectrpc/connect";
import type { User } from "../../../gen/muin/identity/v1/user_service_pb.ts";
import { assertNever } from "../../../platform/errors/assert-never.ts";
import type { MuinError } from "../../../platform/errors/muin-error.ts";
import { callerOf, personOf, type Caller } from "../../../platform/identity/caller.ts";
import type { Scope } from "../../../gen/scopes.ts";
import { checkPersonOrScopes, hasScope, personIdOf } from "../../../platform/resource/caller-scopes.ts";
import { resourceErrors } from "../../../platform/resource/errors.ts";
import type { Logger } from "../../../platform/telemetry/logger.ts";
import { userErrors } from "../errors.ts";
import { preferencesMax, type PreferenceRefusal } from "../preference/rules.ts";
import { rolesMax } from "../role/rules.ts";
import { toUser } from "./message.ts";
import type { Person, Refusal } from "./person.ts";

/** Shows all that is known of people. */
export const readScope = "users.read";
/** Changes people. */
export const manageScope = "users.manage";

/** Whom a request names: "me" is the person who calls. Throws USER_FORBIDDEN when no person does. */
export function targetOf(caller: Caller, userId: string): string {
  if (userId !== "me") return userId;
  if (caller.kind !== "person") throw resourceErrors.personOnly();
  return caller.id;
}

/** The id of the person who calls, whom the request must name. Throws USER_FORBIDDEN otherwise. */
export function ownId(context: HandlerContext, userId: string): string {
  const person = personOf(context);
  const target = targetOf(person, userId);
  if (target !== person.id) throw resourceErrors.personOnly();
  return target;
}

/** Whom a request names, if the caller is that person or holds the scopes. Throws USER_FORBIDDEN before a look whether they exist. */
export function permitted(caller: Caller, userId: string, ...scopes: readonly Scope[]): string {
  const target = targetOf(caller, userId);
  checkPersonOrScopes(caller, target, ...scopes);
  return target;
}

/** Logs who did what to whom, where it was not to themself: ids, nothing personal. */
export function note(log: Logger, context: HandlerContext, userId: string): void {
  const caller = callerOf(context);
  if (personIdOf(caller) === userId) return;
  log.info("acts on another person", { method: context.method.name, user_id: userId, principal: caller.principal });
}

/** What a rule answered; throws what it refused with. */
export function accepted<T extends object>(caller: Caller, userId: string, answer: T | Refusal | PreferenceRefusal): T {
  if (typeof answer === "string") throw errorOf(answer, caller, userId);
  return answer;
}

/** A person as the caller may see them. */
export function shown(caller: Caller, person: Person): { user: User } {
  return { user: toUser(person, { suspendReason: hasScope(caller, readScope) }) };
}

function errorOf(refusal: Refusal | PreferenceRefusal, caller: Caller, userId: string): MuinError {
  switch (refusal) {
    case "USER_NOT_FOUND":
      // Who calls for themself has signed up, and is there in a moment.
      return personIdOf(caller) === userId
        ? userErrors.profileNotReady()
        : userErrors.userNotFound({ user_id: userId });
    case "USER_DELETED":
      return userErrors.userDeleted({ user_id: userId });
    case "ETAG_MISMATCH":
      return resourceErrors.etagMismatch({ resource: `user ${userId}` });
    case "LAST_ADMINISTRATOR":
      return userErrors.lastAdministrator();
    case "TOO_MANY_ROLES":
      return userErrors.tooManyRoles({ roles_max: `${rolesMax}` });
    case "NO_MEMBERSHIP":
      return userErrors.noMembership({ user_id: userId });
    case "TOO_MANY_PREFERENCES":
      return userErrors.tooManyPreferences({ preferences_max: `${preferencesMax}` });
    default:
      return assertNever(refusal);
  }
}
