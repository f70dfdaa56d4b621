import type { Clock } from "../../../platform/clock/clock.ts";

/**
 * What the counts primary's clock shows now, from what it was seen to show. Heartbeats are of that clock, so ages are reckoned on
 * it; this machine's own clock may differ and only its monotonic part is used.
 *
 * The primary's clock may be stepped at any time, which is noticed at the next look. Where a step leaves doubt when a heartbeat
 * was written, it says nothing, and the primary is asked instead: after a step back until the old time is reached again. Only
 * before a step forward is noticed can a heartbeat written since the last look be taken for younger than it is.
 */
export interface PrimaryClock {
  /** The primary's clock showed `timeMs` at some moment from `sentAt` to `receivedAt` of the monotonic clock. */
  observe(timeMs: number, sentAt: number, receivedAt: number): void;
  /**
   * How long ago, at `at` of the monotonic clock, the primary can have written this heartbeat at most, in milliseconds. Infinity
   * when the heartbeat lies ahead, so that the clock was stepped, or may be from before the clock was stepped back.
   */
  ageMsMax(heartbeatMs: number, at: number): number;
}

/** Until it is seen, the primary's clock is taken to agree with this machine's. */
export function createPrimaryClock(clock: Pick<Clock, "now" | "monotonic">): PrimaryClock {
  /** The primary's time minus monotonic time: its bounds at the last look. */
  let offsetMax = clock.now() - clock.monotonic();
  let offsetMin = Number.NEGATIVE_INFINITY;
  /** Up to here a heartbeat may have been written before the clock was stepped back. */
  let doubtfulMs = Number.NEGATIVE_INFINITY;
  return {
    observe: (timeMs, sentAt, receivedAt) => {
      const offset = timeMs + 1 - sentAt; // Its milliseconds are cut off, not rounded.
      if (offset < offsetMin) doubtfulMs = Math.max(doubtfulMs, offsetMax + receivedAt);
      offsetMax = offset;
      offsetMin = timeMs - receivedAt;
    },
    ageMsMax: (heartbeatMs, at) => {
      const ageMs = offsetMax + at - heartbeatMs;
      return ageMs < 0 || heartbeatMs <= doubtfulMs ? Number.POSITIVE_INFINITY : ageMs;
    },
  };
}
