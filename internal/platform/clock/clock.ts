/** Time, handed in so that tests can hold it. */
export interface Clock {
  /** Wall time in milliseconds since the Unix epoch. */
  now(): number;
  /** Milliseconds on a clock that never steps; only differences mean something. */
  monotonic(): number;
  /** Resolves after `ms` milliseconds; rejects with the signal's reason when it is aborted first. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
  /** As `sleep`, but time in which the process could not run does not count. Default: all time counts. See `awake`. */
  readonly sleepAwake?: Sleep;
}

type Sleep = (ms: number, signal?: AbortSignal) => Promise<void>;

/** How often `sleepAwake` looks whether the process could run, in milliseconds: a look that is late by more was kept from running. */
const lookMs = 250;
/** The longest that `sleepAwake` takes, in shares of the time asked for, however little the process could run. */
const awakeShareMax = 3;

/** The machine's clock. */
export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  sleep: (ms, signal) =>
    new Promise((resolve, reject) => {
      if (signal?.aborted === true) {
        reject(signal.reason as Error);
        return;
      }
      const onAbort = () => {
        clearTimeout(timer);
        reject(signal?.reason as Error);
      };
      const timer = setTimeout(() => {
        signal?.removeEventListener("abort", onAbort);
        resolve();
      }, ms);
      signal?.addEventListener("abort", onAbort, { once: true });
    }),
  sleepAwake: async (ms, signal) => {
    const endMs = performance.now() + awakeShareMax * ms;
    for (let leftMs = ms; leftMs > 0;) {
      const beganMs = performance.now();
      await systemClock.sleep(Math.min(leftMs, lookMs), signal);
      const tookMs = performance.now() - beganMs;
      if (tookMs < 2 * lookMs) leftMs -= tookMs;
      else if (performance.now() >= endMs) return;
    }
  },
};

/**
 * Time for whoever waits for an answer from outside: a process that was kept from running for long may find the answer there, which
 * it had no turn to read. A timer that is due is heard first.
 */
export function awake(clock: Pick<Clock, "sleep" | "sleepAwake">): { readonly sleep: Sleep } {
  return { sleep: clock.sleepAwake ?? ((ms, signal) => clock.sleep(ms, signal)) };
}
