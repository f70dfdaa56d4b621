import type { Clock } from "../../platform/clock/clock.ts";

/** After a failure a store is left alone for so long. */
const pauseMs = 500;

/** A store did not answer in time, or failed a moment ago. */
export class StoreAwayError extends Error {
  override readonly name = "StoreAwayError";
}

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
    if (clock.monotonic() < awayUntil) throw new StoreAwayError("the store failed a moment ago");
    const answered = new AbortController();
    const late = clock.sleep(timeoutMs, answered.signal).then(() => {
      throw new StoreAwayError(`no answer within ${timeoutMs} ms`);
    });
    late.catch(() => undefined); // Nobody waits for it once the store has answered.
    try {
      return await Promise.race([ask(...args), late]);
    } catch (error) {
      awayUntil = clock.monotonic() + pauseMs;
      throw error;
    } finally {
      answered.abort();
    }
  };
}
