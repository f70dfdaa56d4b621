import type { Clock } from "../../../platform/clock/clock.ts";
import { type ChangeId, isAtLeast } from "../../shared/change-stream.ts";

/** A place in each stream that copies follow. */
export interface Places {
  /** Of faces. */
  readonly faces: ChangeId;
  /** Of people and branches. */
  readonly records: ChangeId;
}

/** How old what this process knows may be. */
export interface Freshness {
  /**
   * The streams ended there when the store renewed the presence of this process, which was asked for at `askedAtMs` on the monotonic clock. What the process knows is as young as that once it has
   * applied what lay before.
   */
  renewed(ends: Places, askedAtMs: number): void;
  /** More was applied. */
  applied(): void;
  /** Nothing is known any more. */
  lost(): void;
  /** How old it may be at most, in milliseconds: Infinity before the first renewal. */
  ageMs(): number;
  /** Resolves when all has been applied that the store held at this moment. Rejects with the signal's reason. */
  caughtUp(signal: AbortSignal): Promise<void>;
}

interface Renewal {
  readonly ends: Places;
  readonly askedAtMs: number;
}

/** Makes what tells it from renewals and from what was `appliedTo`. `undefined`: nothing is followed yet. */
export function createFreshness(options: {
  readonly clock: Pick<Clock, "monotonic">;
  readonly appliedTo: () => Places | undefined;
}): Freshness {
  const { clock, appliedTo } = options;
  /** The oldest and the youngest renewal to whose ends not all has been applied: with the youngest alone, it might never be. */
  let behind: readonly Renewal[] = [];
  let freshAtMs = -Infinity;
  const waiting = new Set<{ readonly sinceMs: number; readonly done: () => void }>();

  const applied = (): void => {
    const places = appliedTo();
    if (places === undefined) return;
    const isBehind = ({ ends }: Renewal): boolean =>
      !isAtLeast(places.faces, ends.faces) || !isAtLeast(places.records, ends.records);
    for (const renewal of behind) if (!isBehind(renewal)) freshAtMs = Math.max(freshAtMs, renewal.askedAtMs);
    behind = behind.filter(isBehind);
    for (const wait of waiting) {
      if (freshAtMs < wait.sinceMs) continue;
      waiting.delete(wait);
      wait.done();
    }
  };
  return {
    renewed: (ends, askedAtMs) => {
      behind = [...behind.slice(0, 1), { ends, askedAtMs }];
      applied();
    },
    applied,
    lost: () => {
      behind = [];
      freshAtMs = -Infinity;
    },
    ageMs: () => clock.monotonic() - freshAtMs,
    caughtUp: (signal) =>
      new Promise((resolve, reject) => {
        signal.throwIfAborted();
        const onAbort = (): void => {
          waiting.delete(wait);
          reject(signal.reason as Error);
        };
        const wait = {
          sinceMs: clock.monotonic(),
          done: (): void => {
            signal.removeEventListener("abort", onAbort);
            resolve();
          },
        };
        signal.addEventListener("abort", onAbort, { once: true });
        waiting.add(wait);
      }),
  };
}
