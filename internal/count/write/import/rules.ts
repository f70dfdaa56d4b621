import type { Clock } from "../../../platform/clock/clock.ts";
import type { Random } from "../../../platform/clock/random.ts";
import type { MuinError } from "../../../platform/errors/muin-error.ts";
import { retry } from "../../../platform/lifecycle/retry.ts";
import type { RedisStore } from "../../../platform/redis/redis-store.ts";
import type { CountStoreLayout } from "../../shared/count-store.ts";
import { placesByShard, shardOf } from "../../shared/key-schema.ts";
import { readValues } from "../../shared/read-values.ts";
import { isPassing, runBatch } from "../write/store-redis.ts";
import { countWriteErrors, reasonOf, refusedCounts } from "../errors.ts";
import { createImportStore, packIntent } from "./store-redis.ts";
import type { ImportIntent, ImportPrefix, ImportRecord, ImportRefusal, ImportStore } from "./store.ts";
import {
  batchKeys,
  batchWritesMax,
  type CountWrite,
  decodeReply,
  encodeBatch,
  encodeWrites,
  isApplied,
} from "../write/batch.ts";

/** Batches of imports that one instance works on at once. */
const batchesMax = 8;
/** Parts of a batch on one shard: 1000 writes are two calls of the script. */
const partsMax = 2;
/** Pause before a store that is away is asked again. */
const retryPause = { minMs: 50, maxMs: 200 };

/** How far an import is. */
export interface ImportProgress {
  readonly importId: string;
  readonly offset: number;
  readonly sequence: number;
  readonly lines: number;
}

/** Imports of one caller. */
export interface CountImports {
  /** Finds or begins an import, and brings a batch that was cut off to its end. */
  start(
    principal: string,
    request: {
      readonly optionsHash: Uint8Array;
      readonly prefix: Uint8Array;
      /** Empty: found by the prefix. */
      readonly importId: string;
      readonly restart: boolean;
    },
    deadlineMs: number,
  ): Promise<ImportProgress>;
  /** Applies a batch once. */
  apply(
    principal: string,
    importId: string,
    batch: ImportIntent,
    deadlineMs: number,
  ): Promise<{ readonly progress: ImportProgress; readonly refused: readonly ImportRefusal[] }>;
  /** Reads an import and assignments of it from place `from`. */
  read(
    principal: string,
    importId: string,
    from: number,
    count: number,
  ): Promise<{
    readonly progress: ImportProgress;
    readonly assignments: readonly (readonly [value: string, countId: string])[];
  }>;
}

/** The store with its layout and bound, and what time and chance are. */
export interface CountImportsOptions {
  readonly store: RedisStore;
  /** The store's layout; throws while it is not known. */
  readonly layout: () => CountStoreLayout;
  readonly outboxBytesMax: number;
  readonly clock: Clock;
  readonly random: Random;
}

/**
 * Creates the imports of a store.
 *
 * A batch is applied in three steps, each safe to repeat: it is kept whole in the import's home record together with the check
 * of its sequence; it is applied on each shard by the batch script, whose memory of an import is kept for ever; the home
 * record moves on and lets go of it. Whoever finds a batch that was kept and not completed brings it to its end first.
 */
export function createCountImports(options: CountImportsOptions): CountImports {
  const { store, clock, random } = options;
  let working = 0;
  let opened: ImportStore | undefined;
  const imports = (): ImportStore => (opened ??= createImportStore(store, options.layout().shards));

  /** Repeats a step that is safe to repeat until it is answered or the deadline has passed. */
  const persist = <T>(deadlineMs: number, step: () => Promise<T>): Promise<T> =>
    retry(step, { ...retryPause, clock, random, isRetryable: isPassing, withinMs: deadlineMs - clock.monotonic() });

  /** Applies a kept batch on every shard and returns what was refused. */
  const applyIntent = async (
    key: string,
    batch: ImportIntent,
    deadlineMs: number,
  ): Promise<readonly ImportRefusal[]> => {
    const { shards } = options.layout();
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
          outboxBytesMax: options.outboxBytesMax,
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

  /** Brings a batch that was begun to its end, and returns the record after it. */
  const finish = async (key: string, deadlineMs: number): Promise<ImportRecord | undefined> => {
    const record = await persist(deadlineMs, () => imports().read(key));
    if (record?.intent === undefined) return record;
    const { batch } = record.intent;
    const refused = await applyIntent(key, batch, deadlineMs);
    await persist(deadlineMs, () => imports().complete(key, batch, refused));
    return persist(deadlineMs, () => imports().read(key));
  };

  /** Refuses a batch whose Counts would refuse it, before anything of it is kept. */
  const check = async (batch: ImportIntent): Promise<void> => {
    const { counts } = await readValues(store, options.layout(), batch.countIds);
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

  const limited = async <T>(work: () => Promise<T>): Promise<T> => {
    if (working >= batchesMax) throw countWriteErrors.overloaded();
    working += 1;
    try {
      return await work();
    } finally {
      working -= 1;
    }
  };

  /** The id of the import that a file belongs to, entered now when there is none. */
  const idByPrefix = async (
    principal: string,
    optionsHash: Uint8Array,
    prefix: Uint8Array,
    restart: boolean,
    deadlineMs: number,
  ): Promise<string> => {
    const fresh = random.uuid();
    if (prefix.length === 0) return fresh; // Every file begins like that: there is nothing to find it by.
    const index = hashOf(Buffer.concat([Buffer.from(`${principal}\0`), optionsHash])).toString("hex", 0, 16);
    const entered = await persist(deadlineMs, () => imports().find(index));
    const hashes = new Map<number, Buffer>();
    const matching = entered
      .filter(({ prefix: { bytes, hash } }) => {
        if (bytes > prefix.length) return false;
        const own = hashes.get(bytes) ?? hashOf(prefix.subarray(0, bytes));
        hashes.set(bytes, own);
        return own.equals(hash);
      })
      .toSorted((a, b) => b.prefix.bytes - a.prefix.bytes);
    const [longest] = matching;
    if (longest !== undefined && !restart) return longest.importId;
    for (const { importId } of matching) await finish(keyOf(principal, importId), deadlineMs);
    const id = await persist(deadlineMs, () =>
      imports().enter(
        index,
        beginningOf(prefix),
        fresh,
        matching.map((found) => found.prefix),
      ),
    );
    if (id !== undefined) return id;
    throw countWriteErrors.importsFull();
  };

  return {
    start: (principal, { optionsHash, prefix, importId: named, restart }, deadlineMs) =>
      limited(async () => {
        const importId = named === "" ? await idByPrefix(principal, optionsHash, prefix, restart, deadlineMs) : named;
        const key = keyOf(principal, importId);
        let record = await finish(key, deadlineMs);
        const anew = restart && named !== "";
        if (record === undefined || anew) {
          await persist(deadlineMs, () => imports().open(key, optionsHash, beginningOf(prefix), anew));
          record = (await persist(deadlineMs, () => imports().read(key))) as ImportRecord;
          // Another process sent a batch in between: this one did not begin anew.
          if (anew && record.offset > 0) throw outOfSequence(record.sequence);
        }
        if (!record.optionsHash.equals(optionsHash)) throw countWriteErrors.importOptionsDiffer();
        const own = prefix.subarray(0, record.prefixBytes);
        if (prefix.length > 0 && record.prefixBytes > 0 && !hashOf(own).equals(record.prefixHash)) {
          throw countWriteErrors.importPrefixDiffers();
        }
        return progressOf(importId, record);
      }),
    apply: (principal, importId, batch, deadlineMs) =>
      limited(async () => {
        const key = keyOf(principal, importId);
        const hash = hashOf(packIntent(batch));
        const record = await finish(key, deadlineMs);
        if (record === undefined) throw countWriteErrors.importNotFound({ import_id: importId });
        const answer = (after: ImportRecord) => ({
          progress: progressOf(importId, after),
          refused: after.lastRefused,
        });
        if (batch.sequence === record.sequence && record.lastHash.equals(hash)) return answer(record);
        if (batch.sequence !== record.sequence + 1) throw outOfSequence(record.sequence);
        if (batch.offsetEnd < record.offset) throw offsetBehind(batch.offsetEnd, record.offset);
        await persist(deadlineMs, () => check(batch));
        const begun = await persist(deadlineMs, () => imports().begin(key, batch, hash));
        if (begun === "full") throw countWriteErrors.importAssignmentsFull();
        const after = await finish(key, deadlineMs);
        // Repeated after a lost answer, the step may find that it was done: what counts is where the import stands.
        if (after?.sequence === batch.sequence && after.lastHash.equals(hash)) return answer(after);
        throw outOfSequence(after?.sequence ?? 0);
      }),
    read: async (principal, importId, from, count) => {
      const key = keyOf(principal, importId);
      const record = await imports().read(key);
      if (record === undefined) throw countWriteErrors.importNotFound({ import_id: importId });
      return {
        progress: progressOf(importId, record),
        assignments: await imports().assignments(key, from, count),
      };
    },
  };
}

/** A batch is not the next one after `sequence`, the last that was applied. */
function outOfSequence(sequence: number): MuinError {
  return countWriteErrors.importOutOfSequence({ sequence: sequence.toString() });
}

/** A batch ends before the offset that was reached. */
function offsetBehind(offsetEnd: number, offset: number): MuinError {
  return countWriteErrors.importOffsetBehind(
    { offset_end: offsetEnd.toString(), offset: offset.toString() },
    { violations: [{ field: "offset_end", description: `must be ${offset} or more` }] },
  );
}

function hashOf(bytes: Uint8Array): Buffer {
  return Buffer.from(Bun.SHA256.hash(bytes).buffer);
}

/** Names an import in the store: each caller has ids of their own. */
function keyOf(principal: string, importId: string): string {
  return hashOf(Buffer.from(`${principal}\0${importId}`)).toString("hex", 0, 16);
}

function beginningOf(prefix: Uint8Array): ImportPrefix {
  return { bytes: prefix.length, hash: hashOf(prefix) };
}

function progressOf(importId: string, { offset, sequence, lines }: ImportRecord): ImportProgress {
  return { importId, offset, sequence, lines };
}
