import { createLruMap } from "../../../platform/cache/lru-map.ts";
import type { Clock } from "../../../platform/clock/clock.ts";

/** Which branches are to be loaded, in the order in which they were asked for. */
export interface Wants {
  /** Asks for a branch. False: it has been already, is just being loaded, or may not be loaded yet. */
  ask(branchId: string): boolean;
  /** Asks for it by itself, as soon as it may be loaded. */
  askLater(branchId: string): void;
  /** It may not be loaded for so long. */
  pause(branchId: string, ms: number): void;
  /** The next one; from now on it is the one that is just being loaded. `undefined`: none is wanted. */
  next(): string | undefined;
  /** None is being loaded any more. */
  done(): void;
}

/** Branches that wait; more are loaded when they are asked for again. */
const wantedMax = 1024;
/** Branches of which is known when they may be loaded again. */
const pausedMax = 10_000;

/** Makes it, with none that is wanted. */
export function createWants(clock: Pick<Clock, "monotonic">): Wants {
  const wanted = new Set<string>();
  const later = new Set<string>();
  /** When a branch may be loaded again, on the monotonic clock. */
  const paused = createLruMap<number>(pausedMax);
  let loading: string | undefined;

  const ask = (branchId: string): boolean => {
    if (branchId === loading || wanted.has(branchId) || wanted.size >= wantedMax) return false;
    if ((paused.get(branchId) ?? -Infinity) > clock.monotonic()) return false;
    later.delete(branchId);
    wanted.add(branchId);
    return true;
  };
  return {
    ask,
    askLater: (branchId) => {
      if (later.size < wantedMax) later.add(branchId);
    },
    pause: (branchId, ms) => paused.set(branchId, clock.monotonic() + ms),
    next: () => {
      for (const branchId of later) ask(branchId);
      [loading] = wanted;
      if (loading !== undefined) wanted.delete(loading);
      return loading;
    },
    done: () => {
      loading = undefined;
    },
  };
}
