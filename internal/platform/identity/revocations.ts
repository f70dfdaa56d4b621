import type { Clock } from "../clock/clock.ts";

/** Ids that were revoked lately. */
export interface Revocations {
  /** Adds one. An id that may be forgotten says with how many others at most it is remembered; default: with all. */
  add(id: string, roomMax?: number): void;
  has(id: string): boolean;
}

/** Revocations of people are remembered a minute longer than the longest life of what they revoke: clocks differ. */
export const revocationLifeMs: number = 16 * 60_000;

/**
 * Makes an empty memory of revocations, each kept for `lifeMs`. When it holds `idsMax`, every id counts as revoked until
 * the oldest have passed: refusing somebody is safe, forgetting a revocation is not.
 */
export function createRevocations(
  clock: Pick<Clock, "monotonic">,
  idsMax: number,
  lifeMs: number = revocationLifeMs,
): Revocations {
  const endOf = new Map<string, number>();
  const forgetPassed = (): void => {
    const now = clock.monotonic();
    for (const [id, endMs] of endOf) {
      if (endMs > now) return;
      endOf.delete(id);
    }
  };
  return {
    add: (id, roomMax = idsMax) => {
      forgetPassed();
      if (endOf.size >= roomMax) return;
      endOf.delete(id); // A repeat moves to the end, so that the order stays that of the ends.
      endOf.set(id, clock.monotonic() + lifeMs);
    },
    has: (id) => {
      if (endOf.size >= idsMax) {
        forgetPassed();
        if (endOf.size >= idsMax) return true;
      }
      return endOf.has(id);
    },
  };
}
