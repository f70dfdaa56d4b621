import type { Clock } from "../../../platform/clock/clock.ts";
import type { RedisStore } from "../../../platform/redis/redis-store.ts";
import type { Logger } from "../../../platform/telemetry/logger.ts";
import { clearMark, type ParkedShard, readMarks, writeMark } from "../outbox/parked-shards.ts";
import type { PublishedEntries } from "./publish-entries.ts";

/** A parked shard is tried again so long after the first refusal, four times as long after each further one, up to the largest. */
const retryAfterMs = 1000;
const retryAfterMsMax = 300_000;
/** So often it is looked whether an operator had a shard tried again. */
const lookEveryMs = 1000;

/** Which shards wait since the bus refuses their first entry. */
export interface Parking {
  /** Whether nothing of the shard is published now. */
  isParked(this: void, shard: number): boolean;
  /** Parks the shards of refused entries, and frees those whose entry was published. Never rejects. */
  settle(outcome: PublishedEntries): Promise<void>;
  /** Gives back the shards that are to be tried again now, by their time or by an operator. They are to be read from the first entry. */
  due(): Promise<readonly number[]>;
}

interface Parked {
  readonly mark: ParkedShard;
  readonly dueMs: number;
  /** Whether it waits; otherwise it is being tried again. */
  readonly isWaiting: boolean;
  /** Whether the mark in the store still says something else. */
  readonly isMarkDue: boolean;
}

/**
 * Keeps the refused entries of a store's outbox in their place, each with the entries of its shard behind it: they share one key, and
 * so one order. Each parked shard is tried again after 1, 4, 16, 64, 256 and then every 300 s, and whenever an operator removes its
 * mark from the store. A new relay tries all at once. A mark that cannot be written, since the store's memory is full, is written later.
 */
export function createParking(deps: {
  readonly store: RedisStore;
  readonly shards: number;
  readonly clock: Clock;
  readonly log: Logger;
}): Parking {
  const { store, shards, clock, log } = deps;
  const parked = new Map<number, Parked>();
  /** Shards that are published again and whose mark is still there. */
  const freed = new Set<number>();
  let isLoaded = false;
  let lookedMs = Number.NEGATIVE_INFINITY;

  const tryMark = (): Promise<void> =>
    writeMarks(store, parked, freed).catch((error: unknown) =>
      log.warn("a shard's state in the outbox cannot be written yet", { err: error }),
    );

  const load = async (): Promise<void> => {
    for (const [shard, found] of await readMarks(store, shards)) {
      parked.set(shard, { mark: found, dueMs: 0, isWaiting: false, isMarkDue: false });
    }
    isLoaded = true;
  };

  /** Shards whose mark an operator removed. */
  const redriven = async (): Promise<readonly number[]> => {
    if (clock.monotonic() - lookedMs < lookEveryMs) return [];
    lookedMs = clock.monotonic();
    await tryMark();
    const marks = await readMarks(store, shards);
    return [...parked].flatMap(([shard, state]) => (state.isMarkDue || marks.has(shard) ? [] : [shard]));
  };

  return {
    isParked: (shard) => parked.get(shard)?.isWaiting === true,
    settle: async ({ published, refused }) => {
      if (refused.length === 0 && parked.size === 0) return;
      for (const { shard } of published) if (parked.delete(shard)) freed.add(shard);
      for (const { entry, reason } of refused) {
        const { shard, id: entryId } = entry;
        const before = parked.get(shard)?.mark;
        const attempts = before?.entryId === entryId ? before.attempts + 1 : 1;
        const pauseMs = Math.min(retryAfterMs * 4 ** (attempts - 1), retryAfterMsMax);
        freed.delete(shard);
        parked.set(shard, {
          mark: { entryId, reason, attempts, parkTimeMs: clock.now() },
          dueMs: clock.monotonic() + pauseMs,
          isWaiting: true,
          isMarkDue: true,
        });
        log.error("an entry of the outbox cannot be published: its shard is parked", {
          shard,
          entryId,
          reason,
          attempts,
        });
      }
      await tryMark();
    },
    due: async () => {
      if (!isLoaded) await load();
      if (parked.size === 0 && freed.size === 0) return [];
      const due: number[] = [];
      for (const shard of await redriven()) {
        const isWaiting = parked.get(shard)?.isWaiting === true;
        parked.delete(shard);
        if (isWaiting) due.push(shard);
      }
      for (const [shard, state] of parked) {
        if (!state.isWaiting || clock.monotonic() < state.dueMs) continue;
        parked.set(shard, { ...state, isWaiting: false });
        due.push(shard);
      }
      return due;
    },
  };
}

/** Writes to the store what it does not say yet. */
async function writeMarks(store: RedisStore, parked: Map<number, Parked>, freed: Set<number>): Promise<void> {
  for (const [shard, state] of parked) {
    if (!state.isMarkDue) continue;
    await writeMark(store, shard, state.mark);
    parked.set(shard, { ...state, isMarkDue: false });
  }
  for (const shard of freed) {
    await clearMark(store, shard);
    freed.delete(shard);
  }
}
