import { accessErrors } from "../errors.ts";

/** Streams that one caller may have open at a process. */
const watchesPerCallerMax = 16;
/** Streams that a process holds open. */
const watchesMax = 1000;

/** Bounds how many streams are open. */
export interface WatchSeats {
  /** Until it is disposed of, or the signal is aborted. Throws RESOURCE_EXHAUSTED, reason WATCHES_EXCEEDED. */
  take(caller: string, signal: AbortSignal): Disposable;
}

export function createWatchSeats(): WatchSeats {
  const open = new Map<string, number>();
  let all = 0;
  return {
    take: (caller, signal) => {
      const own = open.get(caller) ?? 0;
      if (own >= watchesPerCallerMax || all >= watchesMax) throw accessErrors.watchesExceeded();
      open.set(caller, own + 1);
      all += 1;
      let isTaken = true;
      const release = (): void => {
        if (!isTaken) return;
        isTaken = false;
        signal.removeEventListener("abort", release);
        all -= 1;
        const left = (open.get(caller) ?? 1) - 1;
        if (left > 0) open.set(caller, left);
        else open.delete(caller);
      };
      signal.addEventListener("abort", release);
      if (signal.aborted) release();
      return { [Symbol.dispose]: release };
    },
  };
}
