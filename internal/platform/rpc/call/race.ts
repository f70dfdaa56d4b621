import { ConnectError } from "@connectrpc/connect";
import { callErrors, connectError } from "./errors.ts";

/** Why a signal was aborted, as an error for the caller: the deadline's, the shutdown's, or `canceled`. */
export function abortError(signal: AbortSignal): ConnectError {
  return signal.reason instanceof ConnectError ? signal.reason : connectError(callErrors.table.canceled);
}

/** Ends a stream as if its handler had: without error. */
export const streamEnd: ConnectError = new ConnectError("the stream has ended");

/** Settles as `work` does, or rejects as soon as `signal` is aborted, however long `work` goes on. */
export function race<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const onAbort = (): void => reject(abortError(signal));
    if (signal.aborted) onAbort();
    else signal.addEventListener("abort", onAbort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener("abort", onAbort));
  });
}

/** How an iterable is read that may be cut short. */
export interface RaceOptions<V = unknown> {
  /** Whether the source's `return` runs when it is cut short and when its reader leaves. */
  readonly release: boolean;
  /** Runs each `next`: the body of a generator runs in whatever asks for its next value. */
  readonly within?: <T>(work: () => T) => T;
  /** Sees each value before its reader does. */
  readonly onValue?: (value: V) => void;
  /** What the reader gets of an error. */
  readonly mapError?: (error: unknown) => unknown;
}

/**
 * Yields what `source` yields until `signal` is aborted, then throws. The source is released even while nobody reads, and without
 * waiting for a `next` that hangs.
 */
export function raceIterable<T>(
  source: AsyncIterable<T>,
  signal: AbortSignal,
  { release: isReleased, within = directly, onValue, mapError }: RaceOptions<T>,
): AsyncIterable<T> {
  return {
    [Symbol.asyncIterator]: () => {
      const inner = source[Symbol.asyncIterator]();
      const release = (): void => {
        signal.removeEventListener("abort", release);
        if (isReleased) inner.return?.().catch(() => undefined); // Its failure has nobody left to hear it.
      };
      if (isReleased) signal.addEventListener("abort", release, { once: true });
      return {
        next: async () => {
          try {
            const result = await race(
              within(() => inner.next()),
              signal,
            );
            if (result.done === true) signal.removeEventListener("abort", release);
            else onValue?.(result.value);
            return result;
          } catch (error) {
            release();
            if (error === streamEnd) return { done: true, value: undefined };
            throw mapError === undefined ? error : mapError(error);
          }
        },
        throw: (error) => {
          release();
          return Promise.reject(error as Error);
        },
        return: () => {
          release();
          return Promise.resolve({ done: true, value: undefined });
        },
      };
    },
  };
}

function directly<T>(work: () => T): T {
  return work();
}
