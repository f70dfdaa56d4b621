import type { Redis } from "ioredis";
import type { Clock } from "../../clock/clock.ts";
import { MuinError } from "../../errors/muin-error.ts";
import { cutOff } from "../../redis/open-redis.ts";
import type { Logger } from "../../telemetry/logger.ts";
import type { RawEntry } from "./entries.ts";
import { keys } from "./keys.ts";

/** Records and bytes of one partition that are read at once; as many more are read ahead. */
const batchRecordsMax = 256;
const batchBytesMax = 1 << 20;
/** The server holds a read for so long when there is nothing new. Bounds how late a new partition or a redrive is noticed. */
const blockMs = 200;
/**
 * Pause between reads that do not wait, while a partition's last batch has not been taken yet: that partition must be read as
 * soon as it is, and a read that waits cannot be called back (the server ends it with a precision of 100 ms).
 */
const pollMs = 5;
/** Pause after a failure, doubled with each further one. */
const backoffMsMin = 50;
const backoffMsMax = 1000;

/** Something new in a partition: records, or a change of what the group's hash says. */
export interface Batch {
  readonly entries: readonly RawEntry[];
  /** Records removed from the partition so far, as of just after the entries were read. */
  readonly removed: number;
  /** The group's generation; 0 without a group. */
  readonly generation: number;
  /** Changes with each redrive. */
  readonly redrives: string;
}

/** Reads one partition. */
export interface Cursor {
  /** The next batch, in order, none twice. Rejects when the signal is aborted. One at a time. */
  take(signal: AbortSignal): Promise<Batch>;
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
  batch: Batch | undefined;
  /** What the last batch said beside its entries. */
  seen: string;
  wake: () => void;
}

/** Creates a reader; `group` is the key of the group's hash, when it reads for one. `connection` is its own, for blocking reads. */
export function createStreamReader(options: {
  readonly connection: Redis;
  readonly topic: string;
  readonly group: string | undefined;
  readonly clock: Clock;
  readonly log: Logger;
}): StreamReader {
  const { connection, topic, group, clock, log } = options;
  const cursors = new Map<string, CursorState>();
  const stopping = new AbortController();
  let bell = Promise.withResolvers<void>();
  let loop: Promise<void> | undefined;
  let bytesPerRecord = 1024;

  /** Reads what is there, or waits for it. True when there was something. */
  const read = async (wanting: readonly CursorState[], isWaiting: boolean): Promise<boolean> => {
    const count = Math.max(1, Math.min(batchRecordsMax, Math.floor(batchBytesMax / bytesPerRecord)));
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
      if (last !== undefined) {
        cursor.afterId = last[0].toString();
        bytesPerRecord = bytesPerRecord * 0.8 + bytesOf(last) * 0.2;
      }
      const said = [removed[index] ?? "0", generation ?? "0", redrives[index] ?? "0"] as const;
      if (entries.length === 0 && said.join() === cursor.seen) continue;
      cursor.seen = said.join();
      cursor.batch = { entries, removed: Number(said[0]), generation: Number(said[1]), redrives: said[2] };
      cursor.wake();
    }
    return streams.length > 0;
  };

  const run = async (): Promise<void> => {
    for (let failed = 0; !stopping.signal.aborted;) {
      bell = Promise.withResolvers();
      const wanting = [...cursors.values()].filter(({ batch }) => batch === undefined);
      if (wanting.length === 0) {
        await bell.promise;
        continue;
      }
      try {
        const isWaiting = wanting.length === cursors.size;
        const hasFound = await read(wanting, isWaiting);
        failed = 0;
        if (!isWaiting && !hasFound) await Promise.race([bell.promise, clock.sleep(pollMs)]);
      } catch (error) {
        // A server that is away is logged by its connection; every position stands where it was.
        if (!(error instanceof MuinError)) log.error("a topic cannot be read", { topic, err: error });
        const backoffMs = Math.min(backoffMsMin * 2 ** failed++, backoffMsMax);
        await clock.sleep(backoffMs, stopping.signal).catch(() => undefined); // Ends the loop.
      }
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
        batch: undefined,
        seen: "",
        wake: () => undefined,
      };
      cursors.set(key, state);
      loop ??= connection.connect().then(run, run);
      bell.resolve();
      return {
        take: async (signal) => {
          while (state.batch === undefined) {
            const { promise, resolve } = Promise.withResolvers<void>();
            state.wake = resolve;
            signal.addEventListener("abort", () => resolve(), { once: true });
            if (signal.aborted) resolve();
            await promise;
            signal.throwIfAborted();
          }
          const { batch } = state;
          state.batch = undefined;
          bell.resolve();
          return batch;
        },
        seek: (to) => {
          state.seeks++;
          state.afterId = to;
          state.batch = undefined;
          state.seen = "";
          bell.resolve();
        },
        close: () => {
          state.seeks++;
          cursors.delete(key);
        },
      };
    },
    stop: async () => {
      stopping.abort();
      bell.resolve();
      cutOff(connection); // Ends a read that waits.
      await loop;
    },
  };
}

function bytesOf([, fields]: RawEntry): number {
  return fields.reduce((bytes, field) => bytes + field.byteLength, 0);
}
