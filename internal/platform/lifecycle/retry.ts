import { backoffMs, type BackoffBounds } from "../clock/backoff.ts";
import type { Clock } from "../clock/clock.ts";
import type { Random } from "../clock/random.ts";

/** When and how long to try again. */
export interface RetryOptions extends BackoffBounds {
  readonly clock: Pick<Clock, "monotonic" | "sleep">;
  readonly random: Pick<Random, "fraction">;
  /** Whether the same work may succeed later. Everything else is thrown at once. */
  isRetryable(error: unknown): boolean;
  /** Attempts in all, the first included. Default: no bound. */
  readonly attemptsMax?: number;
  /** No attempt begins later than this after the first, in milliseconds. Default: no bound. */
  readonly withinMs?: number;
  /** Ends a pause when it is aborted: `retry` then rejects with its reason. */
  readonly signal?: AbortSignal;
  /** The shortest pause after an error, in milliseconds, where whoever made it says when to come again. Default: none. */
  pauseMsAfter?(error: unknown): number;
  /** Told before each pause of the error and of the attempt that failed, 1 for the first. */
  onPause?(error: unknown, attempt: number): void;
}

/**
 * Does `work` until it succeeds and returns what it returned. `work` must be safe to repeat: an attempt that rejected may have had
 * its effect. Pauses grow from `minMs` to `maxMs`, each shortened by up to a half by chance (see `backoffMs`), or are as long as an error asks for. Rejects with the last
 * error when it is not retryable or a bound is reached.
 */
export async function retry<T>(work: (attempt: number) => Promise<T>, options: RetryOptions): Promise<T> {
  const { clock, random, attemptsMax = Infinity, withinMs = Infinity, signal } = options;
  const beganAt = clock.monotonic();
  for (let attempt = 1; ; attempt++) {
    signal?.throwIfAborted();
    try {
      return await work(attempt);
    } catch (error) {
      if (attempt >= attemptsMax || !options.isRetryable(error)) throw error;
      const pauseMs = Math.max(backoffMs(options, attempt, random), options.pauseMsAfter?.(error) ?? 0);
      if (clock.monotonic() - beganAt + pauseMs > withinMs) throw error;
      options.onPause?.(error, attempt);
      await clock.sleep(pauseMs, signal);
    }
  }
}
