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
 * Yields what `source` yields until `signal` is aborted, then throws. With `release`, the source's `return` runs at the abort
 * and when the reader leaves, even while nobody reads, and without waiting for a `next` that hangs.
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
        signal.removeEventListener("abort", release);
        if (options.release) inner.return?.().catch(() => undefined); // Its failure has nobody left to hear it.
      };
      if (options.release) signal.addEventListener("abort", release, { once: true });
      return {
        next: async () => {
          try {
            const result = await race(inner.next(), signal);
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
