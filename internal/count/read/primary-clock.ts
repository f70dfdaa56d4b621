import type { Clock } from "../../platform/clock/clock.ts";

/**
 * What the counts primary's clock shows now, from what it was seen to show. Heartbeats are of that clock, so ages are reckoned on
 * it; this machine's own clock may differ and only its monotonic part is used.
 */
export interface PrimaryClock {
  /** The primary's clock showed `timeMs` at some moment after `sentAt` of the monotonic clock. */
  observe(timeMs: number, sentAt: number): void;
  /** The primary's clock has shown `timeMs` before `receivedAt`: it cannot be earlier now. */
  observePast(timeMs: number, receivedAt: number): void;
  /** It shows at most so much at `at` of the monotonic clock, in milliseconds since the Unix epoch. */
  atMost(at: number): number;
}

/** Until it is seen, the primary's clock is taken to agree with this machine's. */
export function createPrimaryClock(clock: Pick<Clock, "now" | "monotonic">): PrimaryClock {
  /** The primary's time minus monotonic time: an upper bound. */
  let offset = clock.now() - clock.monotonic();
  return {
    observe: (timeMs, sentAt) => {
      offset = timeMs + 1 - sentAt; // Its milliseconds are cut off, not rounded.
    },
    observePast: (timeMs, receivedAt) => {
      // It was set forward: what was reckoned before is too low.
      if (timeMs > offset + receivedAt) offset = timeMs - receivedAt;
    },
    atMost: (at) => offset + at,
  };
}
