import { ConnectError, Code } from "@connectrpc/connect";

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
 * Yields what `source` yields until `signal` is aborted, then throws. `release` runs the source's `return` at its end whatever
 * happens, without waiting for a `next` that hangs.
 */
export function raceIterable<T>(
  source: AsyncIterable<T>,
  signal: AbortSignal,
  options: { readonly release: boolean },
): AsyncIterable<T> {
  return {
    [Symbol.asyncIterator]: () => {
      const inner = source[Symbol.asyncIterator]();
      const release = (): void => {
        if (options.release) inner.return?.().catch(() => undefined); // Its failure has nobody left to hear it.
      };
      return {
        next: async () => {
          try {
            return await race(inner.next(), signal);
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
