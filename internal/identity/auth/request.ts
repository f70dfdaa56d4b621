import type { HandlerContext } from "@connectrpc/connect";
import { callerOf, type Caller } from "../../platform/identity/caller.ts";
import { invalidField, notYours } from "./errors.ts";

const pageSizeDefault = 100;
const uuid = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** Whether a text has the shape of the ids that auth gives: any other is nobody's. */
export function isUuid(text: string): boolean {
  return uuid.test(text);
}

/** How many items a page has that asks for `pageSize`. */
export function pageSizeOf(pageSize: number): number {
  return pageSize === 0 ? pageSizeDefault : pageSize;
}

/** The id that the page before ended with, which is its token; `undefined` for the first page. */
export function idOfPage(pageToken: string): string | undefined {
  if (pageToken === "") return undefined;
  if (!isUuid(pageToken)) throw invalidField("page_token", "must come from a previous page");
  return pageToken;
}

/** The scopes that a caller holds: none for who has no scopes. */
export function scopesHeldBy(caller: Caller): ReadonlySet<string> {
  return "scopes" in caller ? caller.scopes : new Set();
}

/**
 * Whose acts a call may see: those of the principal asked for; `undefined` for everybody's. Without `scope`, a person sees their own
 * alone, and PERMISSION_DENIED for another's, whether there are any or not.
 */
export function principalOf(context: HandlerContext, principal: string, scope: string): string | undefined {
  const caller = callerOf(context);
  if (scopesHeldBy(caller).has(scope)) return principal === "" ? undefined : principal;
  if (caller.kind === "person" && (principal === "" || principal === caller.principal)) return caller.principal;
  throw notYours(scope);
}

/**
 * Whose data a call may see: the person asked for, or the caller when none is. PERMISSION_DENIED for somebody else's without
 * `scope`, whether they exist or not.
 */
export function subjectOf(context: HandlerContext, userId: string, scope: string): string {
  const caller = callerOf(context);
  const own = caller.kind === "person" ? caller.id : undefined;
  if (userId === "" && own === undefined) throw invalidField("user_id", "must name a person, since the caller is none");
  if (userId === "" || userId === own) return own ?? userId;
  if (scopesHeldBy(caller).has(scope)) return userId;
  throw notYours(scope);
}
