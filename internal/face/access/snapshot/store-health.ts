import type { Clock } from "../../../platform/clock/clock.ts";

/** Whether the face Redis answers, by how it answered what was asked. */
export interface StoreHealth {
  /** Follows a question to its end. It settles as `work` does. */
  watch<T>(work: Promise<T>): Promise<T>;
  /** It failed last, or has owed an answer for a while. */
  readonly isAway: boolean;
  /** Whether to ask it all the same, to find out whether it is back: true once in a while, and always when it is not away. */
  mayAsk(): boolean;
}

/** A store that has owed an answer for so long is away: a decision waits for it no longer. */
const patienceMs = 50;
/** How often a store that is away is asked again. */
const askEveryMs = 100;

/** Makes it; the store is there at first. */
export function createStoreHealth(clock: Pick<Clock, "monotonic">): StoreHealth {
  /** Questions without an answer: when they were asked, the oldest first. */
  const open = new Map<symbol, number>();
  let hasFailed = false;
  let askedAtMs = -Infinity;

  const isAway = (): boolean => {
    const [oldest] = open.values();
    return hasFailed || (oldest !== undefined && clock.monotonic() - oldest > patienceMs);
  };
  return {
    watch: async (work) => {
      const question = Symbol("question");
      open.set(question, clock.monotonic());
      try {
        const answer = await work;
        hasFailed = false;
        return answer;
      } catch (error) {
        hasFailed = true;
        throw error;
      } finally {
        open.delete(question);
      }
    },
    get isAway() {
      return isAway();
    },
    mayAsk: () => {
      const nowMs = clock.monotonic();
      if (isAway() && nowMs - askedAtMs < askEveryMs) return false;
      askedAtMs = nowMs;
      return true;
    },
  };
}
