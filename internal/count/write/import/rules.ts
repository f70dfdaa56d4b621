import type { Clock } from "../../../platform/clock/clock.ts";
import type { Random } from "../../../platform/clock/random.ts";
import type { MuinError } from "../../../platform/errors/muin-error.ts";
import { retry } from "../../../platform/lifecycle/retry.ts";
import type { RedisStore } from "../../../platform/redis/redis-store.ts";
import type { CountStoreLayout } from "../../shared/count-store.ts";
import { countWriteErrors } from "../errors.ts";
import { isPassing } from "../write/store-redis.ts";
import { createImportFinder } from "./find.ts";
import { createKeptBatches, type Persist } from "./kept-batches.ts";
import { beginningOf, callerIndexOf, hashOf, keyOf } from "./name.ts";
import { createImportStore, packIntent } from "./store-redis.ts";
import type { ImportIntent, ImportRecord, ImportRefusal, ImportStore } from "./store.ts";

/** Batches of imports that one instance works on at once. */
const batchesMax = 8;
/** Pause before a store that is away is asked again. */
const retryPause = { minMs: 50, maxMs: 200 };

/** How far an import is. */
export interface ImportProgress {
  readonly importId: string;
  readonly offset: number;
  readonly sequence: number;
  readonly lines: number;
}

/** Where an import goes on. */
export interface ImportStart extends ImportProgress {
  /** SHA-256 of the bytes before the offset, of at most `tailBytesMax`; absent when it is not known. */
  readonly tailHash?: Uint8Array<ArrayBuffer>;
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
  ): Promise<ImportStart>;
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
  /** Batches of one caller that this instance works on at once. */
  readonly importsPerCallerMax: number;
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
  const limited = createImportLimit(options.importsPerCallerMax);
  let opened: ImportStore | undefined;
  const imports = (): ImportStore => (opened ??= createImportStore(store, options.layout().shards));

  const persist: Persist = (deadlineMs, step) =>
    retry(step, { ...retryPause, clock, random, isRetryable: isPassing, withinMs: deadlineMs - clock.monotonic() });

  const batches = createKeptBatches({ ...options, persist });

  /** Brings a batch that was begun to its end, and returns the record after it. */
  const finish = async (key: string, deadlineMs: number): Promise<ImportRecord | undefined> => {
    const record = await persist(deadlineMs, () => imports().read(key));
    if (record?.intent === undefined) return record;
    const { batch } = record.intent;
    const refused = await batches.apply(key, batch, deadlineMs);
    await persist(deadlineMs, () => imports().complete(key, batch, refused));
    return persist(deadlineMs, () => imports().read(key));
  };

  /** Enters an import among all of its caller, who may have so many and no more: each is kept for ever. */
  const enterOfCaller = async (principal: string, importId: string, deadlineMs: number): Promise<void> => {
    const name = { bytes: 0, hash: hashOf(Buffer.from(importId)) };
    const id = await persist(deadlineMs, () => imports().enter(callerIndexOf(principal), name, importId, []));
    if (id === undefined) throw countWriteErrors.importsOfCallerFull();
  };

  const find = createImportFinder({ imports, enterOfCaller, finish, persist, random });

  return {
    start: (principal, { optionsHash, prefix, importId: named, restart }, deadlineMs) =>
      limited(principal, async () => {
        const importId = named === "" ? await find({ principal, optionsHash, prefix, restart }, deadlineMs) : named;
        const key = keyOf(principal, importId);
        let record = await finish(key, deadlineMs);
        const anew = restart && named !== "";
        if (record === undefined) await enterOfCaller(principal, importId, deadlineMs);
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
        return startOf(importId, record);
      }),
    apply: (principal, importId, batch, deadlineMs) =>
      limited(principal, async () => {
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
        await persist(deadlineMs, () => batches.check(batch));
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

/** Bounds how many batches are worked on at once, of all callers and of each: one leaves room for the others. */
function createImportLimit(perCallerMax: number): <T>(principal: string, work: () => Promise<T>) => Promise<T> {
  const workingOf = new Map<string, number>();
  let working = 0;
  return async (principal, work) => {
    const own = workingOf.get(principal) ?? 0;
    if (own >= perCallerMax) throw countWriteErrors.importsOfCallerBusy();
    if (working >= batchesMax) throw countWriteErrors.overloaded();
    working += 1;
    workingOf.set(principal, own + 1);
    try {
      return await work();
    } finally {
      working -= 1;
      const left = (workingOf.get(principal) ?? 1) - 1;
      if (left === 0) workingOf.delete(principal);
      else workingOf.set(principal, left);
    }
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

function startOf(importId: string, record: ImportRecord): ImportStart {
  const { tailHash } = record;
  return {
    ...progressOf(importId, record),
    ...(tailHash === undefined ? {} : { tailHash: Uint8Array.from(tailHash) }),
  };
}

function progressOf(importId: string, { offset, sequence, lines }: ImportRecord): ImportProgress {
  return { importId, offset, sequence, lines };
}
