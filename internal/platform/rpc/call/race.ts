import { ConnectError, Code } from "@connectrpc/connect";
import type { CallSpan } from "../../telemetry/call-observer.ts";

/** Why a signal was aborted, as an error for the caller: the deadline's, the shutdown's, or `canceled`. */
export function abortError(signal: AbortSignal): ConnectError {
  return signal.reason instanceof ConnectError
    ? signal.reason
    : new ConnectError("the call was canceled", Code.Canceled);
}

/** Settles as `work` does, or rejects as soon as `signal` is aborted, however long `work` goes on. */
export function race<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const onAbort = (): void => reject(abortError(signal));
    if (signal.aborted) onAbort();
    else signal.addEventListener("abort", onAbort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener("abort", onAbort));
  });
}

/**
 * Yields what `source` yields until `signal` is aborted, then throws. With `release`, the source's `return` runs at the abort
 * and when the reader leaves, even while nobody reads, and without waiting for a `next` that hangs. `within` is the span that the
 * source belongs to: the body of a generator runs in whatever asks for its next value.
 */
export function raceIterable<T>(
  source: AsyncIterable<T>,
  signal: AbortSignal,
  { release: isReleased, within }: { readonly release: boolean; readonly within?: Pick<CallSpan, "run"> },
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
            const next = within === undefined ? inner.next() : within.run(() => inner.next());
            const result = await race(next, signal);
            if (result.done === true) signal.removeEventListener("abort", release);
            return result;
          } catch (error) {
            release();
            throw error;
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
