import { createLruMap } from "../cache/lru-map.ts";
import type { Clock } from "../clock/clock.ts";

/** How many look-ups may fail, and what is left to those who have used that up. */
export interface FailedLookupsOptions {
  /** Failures of one subject within `windowMs` of the first. */
  readonly failuresMax: number;
  readonly windowMs: number;
  /** Beyond, one look-up is let through in so long: whoever asks well among those who guess is answered in the end. */
  readonly reservedEveryMs: number;
  /** Subjects that are remembered; the least recently seen one makes room. */
  readonly subjectsMax: number;
  readonly clock: Pick<Clock, "monotonic">;
}

/** Counts look-ups that found nobody, so that whoever guesses costs nothing beyond a bound. */
export interface FailedLookups {
  /** Counts a look-up as failed before it is made, so that many at once are no more than many in a row. False: it must not be made. */
  charge(subject: string): boolean;
  /** Takes a charge back: it found somebody, or could not be made. */
  forgive(subject: string): void;
}

interface Count {
  failures: number;
  windowEndMs: number;
  reservedAtMs: number;
}

/** Counts of nobody yet. */
export function createFailedLookups(options: FailedLookupsOptions): FailedLookups {
  const { failuresMax, windowMs, reservedEveryMs, clock } = options;
  const counts = createLruMap<Count>(options.subjectsMax);
  return {
    charge: (subject) => {
      const nowMs = clock.monotonic();
      const known = counts.get(subject);
      if (known === undefined || nowMs >= known.windowEndMs) {
        counts.set(subject, { failures: 1, windowEndMs: nowMs + windowMs, reservedAtMs: nowMs });
        return true;
      }
      if (known.failures < failuresMax) {
        known.failures++;
        known.reservedAtMs = nowMs;
        return true;
      }
      if (nowMs - known.reservedAtMs < reservedEveryMs) return false;
      known.reservedAtMs = nowMs;
      return true;
    },
    forgive: (subject) => {
      const known = counts.get(subject);
      if (known !== undefined && known.failures > 0) known.failures--;
    },
  };
}
