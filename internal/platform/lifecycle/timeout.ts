import type { Clock } from "../clock/clock.ts";

/** Work that did not settle in time. It may still go on. */
export class TimeoutError extends Error {
  override readonly name = "TimeoutError";

  constructor(ms: number) {
    super(`no answer within ${ms} ms`);
  }
}

/**
 * Settles as `work` does, or rejects with `TimeoutError` after `ms` milliseconds. Work that is given as a function gets a signal that
 * is aborted at that moment; without it, late work goes on unheard.
 */
export async function timeout<T>(
  clock: Pick<Clock, "sleep">,
  ms: number,
  work: Promise<T> | ((signal: AbortSignal) => Promise<T>),
): Promise<T> {
  const settled = new AbortController();
  const late = typeof work === "function" ? new AbortController() : undefined;
  const timer = clock.sleep(ms, settled.signal).then(() => {
    const error = new TimeoutError(ms);
    late?.abort(error);
    throw error;
  });
  timer.catch(() => undefined); // Rejects with the abort below when the work was in time.
  try {
    return await Promise.race([typeof work === "function" ? work(late!.signal) : work, timer]);
  } finally {
    settled.abort();
  }
}
