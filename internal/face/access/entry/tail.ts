import { timestampMs } from "@bufbuild/protobuf/wkt";
import type { Entry } from "../../../gen/muin/face/v1/entry_pb.ts";
import type { Clock } from "../../../platform/clock/clock.ts";
import type { Database } from "../../../platform/postgres/database.ts";
import type { EntryNews } from "./news.ts";
import { createRounds, type Round } from "./rounds.ts";
import type { EntryQuery, EntryStore, RecordedEntry } from "./store.ts";
import { createWatchSeats } from "./watch-seats.ts";

/** Entries that are told at a time, at most. */
export const toldMax = 500;
/** Entries are looked for so often when nothing tells of them: a notification can be lost with its connection. */
const lookMs = 1000;
/** Streams that read by themselves at once, since they are behind: the database's other connections are for who records entries. */
const readsMax = 2;

/** What is recorded, read once for all who follow. */
export interface EntryTail {
  /**
   * Until it is disposed of or the signal is aborted. It is read while anybody follows. Throws RESOURCE_EXHAUSTED, reason WATCHES_EXCEEDED, when the caller or all
   * together have as many streams open as may be.
   */
  follow(caller: string, signal: AbortSignal): Following;
}

export interface Following extends Disposable {
  /** As `EntryStore.bounds`. */
  bounds(): ReturnType<EntryStore["bounds"]>;
  /** What is read after this call ends the wait. */
  next(): Round;
  /**
   * Entries of a query after a sequence, at most `toldMax`, and up to where there are no others. `seen`: all up to there was visible already. Rejects while the database is
   * away.
   */
  look(query: EntryQuery, after: bigint, seen: bigint): Promise<Seen>;
}

export interface Seen {
  readonly rows: readonly RecordedEntry[];
  readonly reached: bigint;
  readonly hasMore: boolean;
}

/** All that was recorded after `from`, up to `to`. Only the last one is held: who is behind reads what is stored, where erased people have no names. */
interface Batch {
  readonly from: bigint;
  readonly to: bigint;
  readonly rows: readonly RecordedEntry[];
}

export function createEntryTail(deps: {
  readonly database: Pick<Database, "sql">;
  readonly entries: Pick<EntryStore, "bounds" | "listRecorded">;
  readonly news: Pick<EntryNews, "next">;
  readonly clock: Pick<Clock, "sleep">;
}): EntryTail {
  const { database, entries, news, clock } = deps;
  const rounds = createRounds(clock);
  const { sql } = database;
  const seats = createWatchSeats();
  const atOnce = createAtOnce(readsMax);
  let batch: Batch | undefined;
  let failure: { readonly error: unknown } | undefined;
  let followers = 0;
  let ending = new AbortController();

  const readOn = async (before: Batch | undefined): Promise<Batch> => {
    if (before === undefined) {
      const { last } = await entries.bounds(sql);
      return { from: last, to: last, rows: [] };
    }
    const rows = await entries.listRecorded(sql, everything, before.to, toldMax);
    return { from: before.to, to: rows.at(-1)?.sequence ?? before.to, rows };
  };
  const run = async (signal: AbortSignal): Promise<void> => {
    while (!signal.aborted) {
      const recorded = news.next(); // Before the look, so that what is recorded during it ends the wait.
      try {
        const read = await readOn(batch);
        if (signal.aborted) return;
        [batch, failure] = [read, undefined];
      } catch (error) {
        if (signal.aborted) return;
        [batch, failure] = [undefined, { error }];
      }
      rounds.ring();
      if ((batch?.rows.length ?? 0) < toldMax) await recorded.wait(lookMs, signal);
    }
  };
  const look: Following["look"] = async (query, after, seen) => {
    if (failure !== undefined) throw failure.error;
    if (batch !== undefined && after >= batch.from) {
      const rows = batch.rows.filter(({ entry, sequence }) => sequence > after && isOf(query, entry));
      return { rows, reached: after > batch.to ? after : batch.to, hasMore: false };
    }
    // All up to `until` was visible before the rows are read: rows that come later have a higher sequence.
    const until = batch?.to ?? seen;
    if (after >= until) return { rows: [], reached: after, hasMore: false };
    const rows = await atOnce(() => entries.listRecorded(sql, query, after, toldMax));
    const last = rows.at(-1)?.sequence ?? after;
    return rows.length === toldMax || until < last
      ? { rows, reached: last, hasMore: rows.length === toldMax }
      : { rows, reached: until, hasMore: false };
  };

  return {
    follow: (caller, signal) => {
      const seat = seats.take(caller, signal);
      if (followers === 0) {
        ending = new AbortController();
        void run(ending.signal);
      }
      followers += 1;
      return {
        bounds: () => atOnce(() => entries.bounds(sql)),
        next: rounds.next,
        look,
        [Symbol.dispose]: () => {
          seat[Symbol.dispose]();
          followers -= 1;
          if (followers > 0) return;
          ending.abort();
          [batch, failure] = [undefined, undefined];
        },
      };
    },
  };
}

const everything: EntryQuery = {
  branchId: undefined,
  memberId: undefined,
  deviceId: undefined,
  decision: undefined,
  reason: undefined,
  kind: undefined,
  fromMs: undefined,
  untilMs: undefined,
};

/** Whether a query is of an entry, as the store has it. */
function isOf(query: EntryQuery, entry: Entry): boolean {
  const { fromMs, untilMs } = query;
  const atMs = entry.decideTime === undefined ? 0 : timestampMs(entry.decideTime);
  const fields = ["branchId", "memberId", "deviceId", "decision", "reason", "kind"] as const;
  if (query.memberId === "") return false; // Nobody's entries are no person's.
  if (fields.some((field) => query[field] !== undefined && query[field] !== entry[field])) return false;
  return (fromMs === undefined || atMs >= fromMs) && (untilMs === undefined || atMs < untilMs);
}

/** Lets so much work run at once; the rest waits in its order. */
function createAtOnce(max: number) {
  const waiting: (() => void)[] = [];
  let running = 0;
  return async <T>(work: () => Promise<T>): Promise<T> => {
    if (running >= max) await new Promise<void>((resolve) => waiting.push(resolve));
    else running += 1;
    try {
      return await work();
    } finally {
      const next = waiting.shift(); // Takes over the place.
      if (next === undefined) running -= 1;
      else next();
    }
  };
}
