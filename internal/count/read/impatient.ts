import type { Clock } from "../../platform/clock/clock.ts";
import { timeout } from "../../platform/lifecycle/timeout.ts";

/** After a failure a store is left alone for so long. */
const pauseMs = 500;

/**
 * Asks a store that the caller can do without: rejects when it does not answer within `timeoutMs`, and at once for a moment after
 * it failed, so that a store that hangs costs one wait and not one per call.
 */
export function impatient<A extends readonly unknown[], R>(
  ask: (...args: A) => Promise<R>,
  { clock, timeoutMs }: { readonly clock: Pick<Clock, "monotonic" | "sleep">; readonly timeoutMs: number },
): (...args: A) => Promise<R> {
  let awayUntil = Number.NEGATIVE_INFINITY;
  return async (...args) => {
    if (clock.monotonic() < awayUntil) throw new Error("the store failed a moment ago");
    try {
      return await timeout(clock, timeoutMs, ask(...args));
    } catch (error) {
      awayUntil = clock.monotonic() + pauseMs;
      throw error;
    }
  };
}
