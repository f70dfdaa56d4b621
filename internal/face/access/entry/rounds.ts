import type { Clock } from "../../../platform/clock/clock.ts";

/** A wait that any number take part in. */
export interface Round {
  /** Resolves when rung, after `ms` milliseconds, or when aborted. */
  wait(ms: number, signal: AbortSignal): Promise<void>;
}

/** Tells whoever waits that something happened. */
export interface Rounds {
  readonly ring: () => void;
  /** Rung by what happens after this call. */
  readonly next: () => Round;
}

export function createRounds(clock: Pick<Clock, "sleep">): Rounds {
  let round = Promise.withResolvers<void>();
  return {
    ring: () => {
      round.resolve();
      round = Promise.withResolvers<void>();
    },
    next: () => {
      const { promise } = round;
      return {
        wait: async (ms, signal) => {
          const waited = new AbortController();
          const over = AbortSignal.any([waited.signal, signal]);
          await Promise.race([promise, clock.sleep(ms, over).catch(() => undefined)]); // Aborted: the wait is over.
          waited.abort();
        },
      };
    },
  };
}
