import type { Scope } from "../../gen/scopes.ts";
import type { Caller } from "../identity/caller.ts";
import type { Refusal } from "../errors/refusal.ts";
import { resourceErrors } from "./errors.ts";

/** Whether the caller holds a scope. Services and devices hold none. */
export function hasScope(caller: Caller, scope: Scope): boolean {
  return "scopes" in caller && caller.scopes.has(scope);
}

/** All scopes that the caller holds. */
export function scopesOfCaller(caller: Caller): ReadonlySet<string> {
  return "scopes" in caller ? caller.scopes : new Set();
}

/**
 * Why the caller may not act on a person who holds the scopes `held`: they lack some of them. `undefined` when they lack none, and for the
 * person themself. So whoever may manage people takes nothing over from an administrator. To be asked when there is such a person.
 */
export function refusalToActOn(
  caller: Caller,
  userId: string,
  held: readonly string[],
): Refusal<"personHoldsMore"> | undefined {
  if (personIdOf(caller) === userId) return undefined;
  const own = scopesOfCaller(caller);
  const missing = held.filter((scope) => !own.has(scope));
  if (missing.length === 0) return undefined;
  return { refused: "personHoldsMore", error: resourceErrors.personHoldsMore({ scopes: missing.join(", ") }) };
}

/** The caller's id where they are a person; "" otherwise, which is nobody's. */
export function personIdOf(caller: Caller): string {
  return caller.kind === "person" ? caller.id : "";
}

/**
 * Throws PERMISSION_DENIED, reason USER_FORBIDDEN, unless the caller is the person or holds all the scopes. To be asked before
 * looking whether there is such a person: who may not see people learns nothing.
 */
export function checkPersonOrScopes(caller: Caller, userId: string, ...scopes: readonly Scope[]): void {
  if (personIdOf(caller) === userId && userId !== "") return;
  const missing = scopes.find((scope) => !hasScope(caller, scope));
  if (missing !== undefined) throw resourceErrors.personOrScopeOnly({ scope: missing });
  if (scopes.length === 0) throw resourceErrors.personOnly();
}
