import type { RedisStore } from "../../../platform/redis/redis-store.ts";
import type { CountStoreLayout } from "../../shared/count-store.ts";
import { placesByShard, shardOf } from "../../shared/key-schema.ts";
import { readValues } from "../../shared/read-values.ts";
import { countWriteErrors, reasonOf, refusedCounts } from "../errors.ts";
import {
  batchKeys,
  batchWritesMax,
  type CountWrite,
  decodeReply,
  encodeBatch,
  encodeWrites,
  isApplied,
} from "../write/batch.ts";
import { runBatch } from "../write/store-redis.ts";
import type { ImportIntent, ImportRefusal } from "./store.ts";

/** Parts of a batch on one shard: 1000 writes are two calls of the script. */
const partsMax = 2;

/** Repeats a step that is safe to repeat until it is answered or the deadline, on the clock's monotonic scale, has passed. */
export type Persist = <T>(deadlineMs: number, step: () => Promise<T>) => Promise<T>;

/** Batches of imports on the shards of their Counts. */
export interface KeptBatches {
  /** Throws what the Counts of a batch would refuse it for. To be asked before anything of it is kept. */
  check(batch: ImportIntent): Promise<void>;
  /**
   * Applies a batch that is kept under `key` on every shard, once however often it is called; returns what was refused, in the order of
   * the Counts. Rejects with RESOURCE_EXHAUSTED, reason OUTBOX_FULL, when a shard has no room for its events.
   */
  apply(key: string, batch: ImportIntent, deadlineMs: number): Promise<readonly ImportRefusal[]>;
}

/** Batches in a counts store. */
export function createKeptBatches(deps: {
  readonly store: RedisStore;
  /** The store's layout; throws while it is not known. */
  readonly layout: () => CountStoreLayout;
  readonly outboxBytesMax: number;
  readonly persist: Persist;
}): KeptBatches {
  const { store, persist } = deps;

  const check: KeptBatches["check"] = async (batch) => {
    const { counts } = await readValues(store, deps.layout(), batch.countIds);
    const missing: string[] = [];
    const deleted: string[] = [];
    const leaving: string[] = [];
    for (const [place, { countId, record }] of counts.entries()) {
      if (record === undefined || record.state === "pending") missing.push(countId);
      else if (record.state === "deleted") deleted.push(countId);
      else if (record.value + (batch.deltas[place] as number) > record.maxValue) leaving.push(countId);
    }
    if (missing.length > 0) throw refusedCounts("not_found", missing);
    if (deleted.length > 0) throw refusedCounts("deleted", deleted);
    if (leaving.length > 0) throw refusedCounts("out_of_range", leaving);
  };

  const apply: KeptBatches["apply"] = async (key, batch, deadlineMs) => {
    const { shards } = deps.layout();
    const byShard = placesByShard(batch.countIds, (countId) => shardOf(countId, shards));
    const writeAt = (place: number): CountWrite => ({
      countId: batch.countIds[place] as string,
      kind: "a",
      operand: batch.deltas[place] as number,
      requestId: "",
      principal: "",
    });
    const refused: ImportRefusal[] = [];
    const applyPart = async (shard: number, part: number, writes: readonly CountWrite[]): Promise<void> => {
      const encoded = encodeBatch(
        batchKeys(shard, `import:${key}`),
        {
          sequence: batch.sequence * partsMax + part,
          begin: true,
          slots: partsMax,
          memoryMs: 0,
          requestWindowMs: 0,
          requestIdsMax: 0,
          requestIdsPerCallerMax: 0,
          outboxBytesMax: deps.outboxBytesMax,
        },
        encodeWrites(writes),
      );
      const packed = await persist(deadlineMs, () => runBatch(store.client, encoded));
      const reply = decodeReply(packed, writes.length);
      if (reply.kind === "outbox_full") throw countWriteErrors.outboxFull();
      if (reply.kind !== "done") return; // A later batch was applied: another process has brought this one to its end.
      for (const [place, outcome] of reply.outcomes.entries()) {
        const { countId, operand } = writes[place] as CountWrite;
        if (!isApplied(outcome)) {
          refused.push({ countId, delta: operand, reason: reasonOf(outcome) });
        }
      }
    };
    await Promise.all(
      [...byShard].map(async ([shard, places]) => {
        for (let part = 0; part * batchWritesMax < places.length; part += 1) {
          const own = places.slice(part * batchWritesMax, (part + 1) * batchWritesMax);
          await applyPart(shard, part, own.map(writeAt));
        }
      }),
    );
    return refused.toSorted((a, b) => (a.countId < b.countId ? -1 : 1));
  };

  return { check, apply };
}
