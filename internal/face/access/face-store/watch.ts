import type { Clock } from "../../../platform/clock/clock.ts";
import { MuinError } from "../../../platform/errors/muin-error.ts";
import { TimeoutError } from "../../../platform/lifecycle/timeout.ts";

/** What came of asking the face Redis. */
export type Answer<T> = { readonly kind: "answered"; readonly value: T } | { readonly kind: "away" };

/** Asks the face Redis where there is something to do without its answer: a door has no time to wait for one that is away. */
export interface StoreWatch {
  /**
   * "away" when it cannot be reached, or did not answer in time: what was asked may still have been done. For a moment after that it is not asked
   * again. Rejects as `work` does otherwise.
   */
  ask<T>(work: () => Promise<T>): Promise<Answer<T>>;
}

/** Answers come within a few milliseconds; later than this, a server is stuck. */
const answerMsMax = 60;
/** It is waited for in so many parts: of time in which this process could not run, only one counts, so that an answer that is there is read. */
const parts = 6;
/** A server that was away is left alone for so long: within it, at most one call waits in vain. */
const restMs = 250;

export function createStoreWatch(clock: Pick<Clock, "monotonic" | "sleep">): StoreWatch {
  let restUntilMs = -Infinity;
  const lateness = async (signal: AbortSignal): Promise<never> => {
    for (let part = 0; part < parts; part += 1) await clock.sleep(answerMsMax / parts, signal);
    throw new TimeoutError(answerMsMax);
  };
  return {
    ask: async (work) => {
      if (clock.monotonic() < restUntilMs) return { kind: "away" };
      const answered = new AbortController();
      const late = lateness(answered.signal);
      late.catch(() => undefined); // Rejects with the abort below when the answer was in time.
      try {
        return { kind: "answered", value: await Promise.race([work(), late]) };
      } catch (error) {
        if (!isAway(error)) throw error;
        restUntilMs = clock.monotonic() + restMs;
        return { kind: "away" };
      } finally {
        answered.abort();
      }
    },
  };
}

/** Whether an error says that a store cannot be asked at the moment. */
export function isAway(error: unknown): boolean {
  return error instanceof TimeoutError || (error instanceof MuinError && error.reason === "STORE_UNAVAILABLE");
}
