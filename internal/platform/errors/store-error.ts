import { MuinError } from "./muin-error.ts";

/** A store that cannot be reached, or did not answer: the caller may try again. What the driver said stays in the cause. */
export function storeUnavailable(cause: unknown): MuinError {
  return new MuinError({
    code: "unavailable",
    reason: "STORE_UNAVAILABLE",
    message: "a store is not reachable at the moment; try again",
    retryAfterMs: 1000,
    cause,
  });
}

/** A store that has as much to do as it may have waiting: refused before anything was sent. */
export function storeBusy(): MuinError {
  return new MuinError({
    code: "resource_exhausted",
    reason: "STORE_BUSY",
    message: "too many calls are waiting for a store; try again later",
    retryAfterMs: 250,
  });
}
