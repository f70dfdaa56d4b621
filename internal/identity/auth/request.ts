import type { HandlerContext } from "@connectrpc/connect";
import { callerOf, type Caller } from "../../platform/identity/caller.ts";
import { MuinError } from "../../platform/errors/muin-error.ts";
import { invalidField } from "./errors.ts";

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
 * Whose data a call may see: the person asked for, or the caller when none is. PERMISSION_DENIED for somebody else's without
 * `scope`, whether they exist or not.
 */
export function subjectOf(context: HandlerContext, userId: string, scope: string): string {
  const caller = callerOf(context);
  const own = caller.kind === "person" ? caller.id : undefined;
  if (userId === "" && own === undefined) throw invalidField("user_id", "must name a person, since the caller is none");
  if (userId === "" || userId === own) return own ?? userId;
  if (scopesHeldBy(caller).has(scope)) return userId;
  throw new MuinError({
    code: "permission_denied",
    reason: "NOT_YOURS",
    message: `only who holds the scope ${scope} may see what belongs to another person`,
    metadata: { scope },
  });
}
