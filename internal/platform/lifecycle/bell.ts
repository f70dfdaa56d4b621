import type { Clock } from "../clock/clock.ts";

/** Something to wait for that may have happened before the wait. */
export interface Bell {
  readonly ring: () => void;
  /** Forgets earlier rings. */
  readonly reset: () => void;
  /** Resolves when rung since the last reset, after `ms` milliseconds, or when aborted. */
  readonly wait: (clock: Pick<Clock, "sleep">, ms: number, signal: AbortSignal) => Promise<void>;
}

/** Creates a bell that has not been rung. */
export function createBell(): Bell {
  let { promise, resolve } = Promise.withResolvers<void>();
  return {
    ring: () => resolve(),
    reset: () => {
      ({ promise, resolve } = Promise.withResolvers<void>());
    },
    wait: async (clock, ms, signal) => {
      const waited = new AbortController();
      const stop = AbortSignal.any([waited.signal, signal]);
      await Promise.race([promise, clock.sleep(ms, stop).catch(() => undefined)]); // Aborted: the wait is over.
      waited.abort();
    },
  };
}
