import { type Clock, systemClock } from "../clock/clock.ts";

/** A clock that stands still until its test moves it. */
export interface HeldClock extends Clock {
  /**
   * Lets all that is due now happen, moves the clock on by `ms`, wakes everybody who sleeps, however long they meant to, and lets
   * happen what they do at once.
   */
  pass(ms: number): Promise<void>;
  /** How long each of those who sleep now meant to, in milliseconds. */
  asleep(): readonly number[];
  /** Moves the clock on beyond every deadline and lets it run from there, so that what waits by it comes to its end. */
  release(): void;
}

/** Far beyond every deadline that a test has set. */
const releaseMs = 86_400_000;

/** Creates a clock that stands at the machine's time. */
export function createHeldClock(): HeldClock {
  let offsetMs = 0;
  /** When it was stopped, on the machine's monotonic clock; undefined: it runs. */
  let heldMs: number | undefined = Math.floor(systemClock.monotonic()); // A fraction would be lost in sums: 500 ms later could be less.
  const startMs = systemClock.now() - heldMs;
  const sleepers = new Map<() => void, number>();
  const monotonic = (): number => (heldMs ?? systemClock.monotonic()) + offsetMs;
  const wakeAll = (): void => {
    for (const wake of sleepers.keys()) wake();
  };
  return {
    monotonic,
    now: () => startMs + monotonic(),
    sleep: (ms, signal) => {
      if (heldMs === undefined) return systemClock.sleep(ms, signal);
      if (signal?.aborted === true) return Promise.reject(signal.reason as Error);
      return new Promise((resolve, reject) => {
        const end = (): void => {
          sleepers.delete(wake);
          signal?.removeEventListener("abort", abort);
        };
        const wake = (): void => {
          end();
          resolve();
        };
        const abort = (): void => {
          end();
          reject(signal?.reason as Error);
        };
        sleepers.set(wake, ms);
        signal?.addEventListener("abort", abort, { once: true });
      });
    },
    pass: async (ms) => {
      await turn();
      offsetMs += ms;
      wakeAll();
      await turn();
    },
    asleep: () => [...sleepers.values()],
    release: () => {
      offsetMs += releaseMs;
      heldMs = undefined;
      wakeAll();
    },
  };
}

/** Resolves once this turn of the event loop is over. */
function turn(): Promise<void> {
  return new Promise((resolve) => void setImmediate(resolve));
}
