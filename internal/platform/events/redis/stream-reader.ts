import type { Redis } from "ioredis";
import type { Clock } from "../../clock/clock.ts";
import type { Random } from "../../clock/random.ts";
import { MuinError } from "../../errors/muin-error.ts";
import { createBell } from "../../lifecycle/bell.ts";
import { retry } from "../../lifecycle/retry.ts";
import { cutOff } from "../../redis/open-redis.ts";
import type { Logger } from "../../telemetry/logger.ts";
import type { RawEntry } from "./entries.ts";
import { isKeySpoilt } from "./key-errors.ts";
import { keys } from "./keys.ts";
import type { SpoiltPlaces } from "./spoilt-places.ts";

/** Event records and bytes of one partition that are read at once; as many more are read ahead. */
const chunkRecordsMax = 256;
const chunkBytesMax = 1 << 20;
/** The server holds a read for so long when there is nothing new. Bounds how late a new partition or a redrive is noticed. */
const blockMs = 200;
/**
 * Least pause between reads that do not wait, while a partition's last chunk has not been taken yet: that partition must be read as
 * soon as it is, and a read that waits cannot be called back (the server ends it with a precision of 100 ms).
 */
const pollMsMin = 5;
/** Pause after a failure, doubled with each further one. */
const failureBackoff = { minMs: 50, maxMs: 1000 };
/** Pause before a partition that cannot be read for what stands in its key is tried again, in milliseconds. */
const spoiltPauseMs = 1000;
/** Until a first event record has been seen, each is taken to have so many bytes. */
const recordBytesDefault = 1024;

/** Something new in a partition: event records, or a change of what the group's hash says. */
export interface Chunk {
  readonly entries: readonly RawEntry[];
  /** Event records removed from the partition so far, as of just after the entries were read. */
  readonly removed: number;
  /** The group's generation; 0 without a group. */
  readonly generation: number;
  /** Changes with each redrive. */
  readonly redrives: string;
}

/** Reads one partition. */
export interface Cursor {
  /** The next chunk, in order, none twice. Rejects when the signal is aborted. One at a time. */
  take(signal: AbortSignal): Promise<Chunk>;
  /** Goes on after another id, and forgets what was read ahead. */
  seek(id: string): void;
  close(): void;
}

/** Reads partitions of one topic over one connection. */
export interface StreamReader {
  /** Entries after `id`. One cursor per partition. */
  open(partition: number, id: string): Cursor;
  stop(): Promise<void>;
}

interface CursorState {
  readonly partition: number;
  readonly key: string;
  afterId: string;
  /** Grows with each seek: what was asked for before it is dropped. */
  seeks: number;
  chunk: Chunk | undefined;
  /** What the last chunk said beside its entries. */
  seen: string;
  wake: () => void;
  /** By the clock's monotonic time, in milliseconds, when it is tried again; `undefined` while its key can be read. */
  retryAtMs: number | undefined;
}

interface ReaderOptions {
  /** The reader's own, for blocking reads. */
  readonly connection: Redis;
  readonly topic: string;
  /** Key of the group's hash, when it reads for one. */
  readonly group: string | undefined;
  /** How long its subscriber gathers events, in milliseconds: of partitions without any it asks twice in that time. Default 0. */
  readonly gatherMs?: number;
  /** Hears of partitions that it cannot read. */
  readonly spoilt: SpoiltPlaces;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
}

/** Creates a reader; it connects with its first cursor. */
export function createStreamReader(options: ReaderOptions): StreamReader {
  const { connection, topic, gatherMs = 0, spoilt, clock, random, log } = options;
  const pollMs = Math.min(blockMs, Math.max(pollMsMin, gatherMs / 2));
  const cursors = new Map<string, CursorState>();
  const stopping = new AbortController();
  const { signal } = stopping;
  const bell = createBell();
  const recordBytes = { mean: recordBytesDefault };
  let loop: Promise<void> | undefined;

  const readOnce = async (): Promise<void> => {
    bell.reset();
    const nowMs = clock.monotonic();
    const readable = [...cursors.values()].filter(({ retryAtMs = 0 }) => retryAtMs <= nowMs);
    const wanting = readable.filter(({ chunk }) => chunk === undefined);
    if (wanting.length === 0) {
      await bell.wait(clock, blockMs, signal);
      return;
    }
    const isWaiting = wanting.length === readable.length;
    const hasFound = await readChunks(wanting, { isWaiting, recordBytes }, options).catch(async (error: unknown) => {
      if (!isKeySpoilt(error) || !(await setSpoiltAside(wanting, options))) throw error;
      return true;
    });
    if (!isWaiting && !hasFound) await bell.wait(clock, pollMs, signal);
  };
  const run = async (): Promise<void> => {
    while (!signal.aborted) {
      await retry(readOnce, {
        clock,
        random,
        ...failureBackoff,
        isRetryable: () => true, // Every position stands where it was.
        onPause: (error) => {
          // A server that is away is logged by its connection.
          if (!(error instanceof MuinError)) log.error("a topic cannot be read", { topic, err: error });
        },
        signal,
      }).catch(() => undefined); // Ends the loop.
    }
  };

  return {
    open: (partition, id) => {
      const key = keys.stream(topic, partition);
      if (cursors.has(key)) throw new Error(`${key} is being read already`);
      const state: CursorState = {
        partition,
        key,
        afterId: id,
        seeks: 0,
        chunk: undefined,
        seen: "",
        wake: () => undefined,
        retryAtMs: undefined,
      };
      cursors.set(key, state);
      loop ??= connection.connect().then(run, run);
      bell.ring();
      return cursorOf(state, bell.ring, () => {
        cursors.delete(key);
        spoilt.forget(state);
      });
    },
    stop: async () => {
      stopping.abort();
      cutOff(connection); // Ends a read that waits.
      await loop;
      for (const state of cursors.values()) spoilt.forget(state);
    },
  };
}

/** The cursor over a state; `ask` has the reader read for it. */
function cursorOf(state: CursorState, ask: () => void, onClose: () => void): Cursor {
  return {
    take: async (signal) => {
      while (state.chunk === undefined) {
        const { promise, resolve } = Promise.withResolvers<void>();
        state.wake = resolve;
        signal.addEventListener("abort", () => resolve(), { once: true });
        if (signal.aborted) resolve();
        await promise;
        signal.throwIfAborted();
      }
      const { chunk } = state;
      state.chunk = undefined;
      ask();
      return chunk;
    },
    seek: (to) => {
      state.seeks++;
      state.afterId = to;
      state.chunk = undefined;
      state.seen = "";
      ask();
    },
    close: () => {
      state.seeks++;
      onClose();
    },
  };
}

/** Reads what is there for cursors, or waits for it. True when there was something. */
async function readChunks(
  wanting: readonly CursorState[],
  { isWaiting, recordBytes }: { readonly isWaiting: boolean; readonly recordBytes: { mean: number } },
  { connection, topic, group, spoilt, log }: Pick<ReaderOptions, "connection" | "topic" | "group" | "spoilt" | "log">,
): Promise<boolean> {
  const count = Math.max(1, Math.min(chunkRecordsMax, Math.floor(chunkBytesMax / recordBytes.mean)));
  const asked = wanting.map(({ seeks }) => seeks);
  const ids = wanting.map(({ afterId }) => afterId);
  const pipeline = connection.pipeline();
  pipeline.callBuffer(
    "xread",
    "COUNT",
    count,
    ...(isWaiting ? ["BLOCK", blockMs] : []),
    "STREAMS",
    ...wanting.map(({ key }) => key),
    ...ids,
  );
  pipeline.hmget(keys.topic(topic), ...wanting.map(({ partition }) => `r${partition}`));
  if (group !== undefined) pipeline.hmget(group, "generation", ...wanting.map(({ partition }) => `d${partition}`));
  const replies = (await pipeline.exec()) ?? [];
  for (const [error] of replies) if (error !== null) throw error;
  const streams = (replies[0]?.[1] ?? []) as [Buffer, RawEntry[]][];
  const removed = replies[1]?.[1] as (string | null)[];
  const [generation = null, ...redrives] = (replies[2]?.[1] ?? []) as (string | null)[];
  const found = new Map(streams.map(([key, entries]) => [key.toString(), entries]));
  for (const [index, cursor] of wanting.entries()) {
    if (cursor.seeks !== asked[index]) continue;
    const entries = found.get(cursor.key) ?? [];
    const last = entries.at(-1);
    if (cursor.retryAtMs !== undefined) {
      cursor.retryAtMs = undefined;
      spoilt.set(cursor, topic, placeOf(topic, cursor), false);
      log.info("a partition can be read again", { key: cursor.key });
    }
    if (last !== undefined) {
      cursor.afterId = last[0].toString();
      recordBytes.mean = recordBytes.mean * 0.8 + bytesOf(last) * 0.2;
    }
    const said = [removed[index] ?? "0", generation ?? "0", redrives[index] ?? "0"] as const;
    if (entries.length === 0 && said.join() === cursor.seen) continue;
    cursor.seen = said.join();
    cursor.chunk = { entries, removed: Number(said[0]), generation: Number(said[1]), redrives: said[2] };
    cursor.wake();
  }
  return streams.length > 0;
}

/**
 * Finds the partitions that cannot be read for what stands in their keys, and leaves them out for a while: others must not wait for them.
 * False when there are none. One read says only that there are.
 */
async function setSpoiltAside(
  wanting: readonly CursorState[],
  { connection, topic, spoilt, clock, log }: Pick<ReaderOptions, "connection" | "topic" | "spoilt" | "clock" | "log">,
): Promise<boolean> {
  const pipeline = connection.pipeline();
  for (const { key } of wanting) pipeline.xlen(key);
  const replies = (await pipeline.exec()) ?? [];
  let hasFound = false;
  for (const [index, cursor] of wanting.entries()) {
    const [error = null] = replies[index] ?? [];
    if (!isKeySpoilt(error)) continue; // One that is good again is read next.
    if (cursor.retryAtMs === undefined) {
      spoilt.set(cursor, topic, placeOf(topic, cursor), true);
      log.error("a partition cannot be read for what stands in its key; the others go on", {
        key: cursor.key,
        err: error,
      });
    }
    cursor.retryAtMs = clock.monotonic() + spoiltPauseMs;
    hasFound = true;
  }
  return hasFound;
}

function placeOf(topic: string, { partition }: CursorState): string {
  return `partition ${partition} of ${topic}`;
}

function bytesOf([, fields]: RawEntry): number {
  return fields.reduce((bytes, field) => bytes + field.byteLength, 0);
}
