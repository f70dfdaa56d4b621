import type { HandlerContext } from "@connectrpc/connect";
import type { User } from "../../../gen/muin/identity/v1/user_service_pb.ts";
import { isRefusal, orThrow, type Refusal } from "../../../platform/errors/refusal.ts";
import { callerOf, personOf, type Caller } from "../../../platform/identity/caller.ts";
import type { Scope } from "../../../gen/scopes.ts";
import { checkPersonOrScopes, hasScope, personIdOf } from "../../../platform/resource/caller-scopes.ts";
import { resourceErrors } from "../../../platform/resource/errors.ts";
import type { Logger } from "../../../platform/telemetry/logger.ts";
import { userErrors } from "../errors.ts";
import { toUser } from "./message.ts";
import type { Person } from "./person.ts";

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

/** What a rule brought; throws what it refused with. Who calls for themself has signed up, and is there in a moment. */
export function accepted<T>(caller: Caller, userId: string, outcome: T): Exclude<T, Refusal> {
  const isNobody = isRefusal(outcome) && outcome.refused === "userNotFound";
  if (isNobody && personIdOf(caller) === userId) throw userErrors.profileNotReady();
  return orThrow(outcome);
}

/** A person as the caller may see them. */
export function shown(caller: Caller, person: Person): { user: User } {
  return { user: toUser(person, { suspendReason: hasScope(caller, readScope) }) };
}
