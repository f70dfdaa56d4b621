import { defineErrors } from "./define-errors.ts";

/** What a store may answer with, whichever it is. What its driver said stays in the cause. */
export const storeErrors = defineErrors({
  /** It cannot be reached, or did not answer: what was under way may have been done. */
  unavailable: {
    reason: "STORE_UNAVAILABLE",
    code: "unavailable",
    text: "a store is not reachable at the moment; try again",
    retryAfterMs: 1000,
  },
  /** As much waits for it as may wait: refused before anything was sent. */
  overloaded: {
    reason: "OVERLOADED",
    code: "resource_exhausted",
    text: "too many calls are waiting for a store; try again later",
    retryAfterMs: 250,
  },
  /** It has no room: nothing was done. */
  full: {
    reason: "STORE_FULL",
    code: "resource_exhausted",
    text: "a store has no memory left; try again later",
    retryAfterMs: 1000,
  },
});
