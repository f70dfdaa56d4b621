import type { RedisReader, RedisStore } from "../../platform/redis/redis-store.ts";
import { type CountStateRecord, decodeCountState } from "./count-state.ts";
import type { CountStoreLayout } from "./count-store.ts";
import { keysOf, placesByShard, shardOf } from "./key-schema.ts";

/** A Count's state as one store knew it. */
export interface ReadCount {
  readonly countId: string;
  /** Absent: the store has no such Count. */
  readonly record: CountStateRecord | undefined;
  /** Redis TIME of the primary, in milliseconds, when it last wrote the shard's heartbeat; undefined before the first. */
  readonly heartbeatMs: number | undefined;
}

/** Counts as they were at one moment of a store. */
export interface ReadCounts {
  /** In the order of the ids asked for. */
  readonly counts: readonly ReadCount[];
  /** The store's own Redis TIME at the read, in milliseconds: on the primary, what is read is as new as this. */
  readonly timeMs: number;
}

/**
 * Reads Counts and the heartbeats of their shards, value and heartbeat of a shard together, in one round trip whatever the
 * number of ids. Throws UNAVAILABLE, reason STORE_UNAVAILABLE.
 */
export async function readValues(
  store: RedisReader | RedisStore,
  layout: CountStoreLayout,
  countIds: readonly string[],
): Promise<ReadCounts> {
  const places = placesByShard(countIds, (countId) => shardOf(countId, layout.shards));
  const pipeline = store.client.pipeline();
  pipeline.time();
  for (const [shard, list] of places) {
    const keys = keysOf(shard);
    // The heartbeat first: whatever comes after it is at least as new.
    pipeline.get(keys.heartbeat);
    pipeline.hmgetBuffer(keys.states, ...list.map((place) => countIds[place] as string));
  }
  const replies = await pipeline.exec();
  const results: unknown[] = (replies ?? []).map(([error, result]) => {
    if (error !== null) throw error;
    return result;
  });
  const [seconds, micros] = results[0] as [string | number, string | number];
  const counts: ReadCount[] = countIds.map((countId) => ({ countId, record: undefined, heartbeatMs: undefined }));
  let next = 1;
  for (const list of places.values()) {
    const heartbeat = results[next] as string | null;
    const records = results[next + 1] as (Buffer | null)[];
    next += 2;
    for (const [index, place] of list.entries()) {
      const bytes = records[index] ?? null;
      counts[place] = {
        countId: countIds[place] as string,
        record: bytes === null ? undefined : decodeCountState(bytes),
        heartbeatMs: heartbeat === null ? undefined : Number(heartbeat),
      };
    }
  }
  return { counts, timeMs: Number(seconds) * 1000 + Math.floor(Number(micros) / 1000) };
}
