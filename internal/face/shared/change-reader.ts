import { cutOff } from "../../platform/redis/open-redis.ts";
import type { BlockingConnection } from "../../platform/redis/redis-store.ts";
import type { ChangeEntry, ChangeId, ChangeReader } from "./change-stream.ts";

/** Changes that one read brings at most: of ten faces of 2048 numbers each 5 MB. */
const entriesMax = 64;
/** How long a read waits for a change. Whoever follows hears at least so often that there is none. */
const blockMsDefault = 200;
/** Where a stream begins. */
const beginning: ChangeId = "0-0";

/** Which stream to follow. */
export interface ChangeReaderOptions<Change> {
  /** A connection of its own, ended by `stop`. */
  readonly connection: BlockingConnection;
  readonly key: string;
  /** Reads an entry: field and value in turn. */
  readonly unpack: (fields: readonly Buffer[]) => Change;
  /** Default: 200. */
  readonly blockMs?: number;
}

/**
 * Follows a stream of changes. That nothing behind a position is missing shows in that the entry at the position is still there just after the read: entries leave
 * a stream from its beginning only, and a stream that was put back to an earlier state does not have it.
 */
export function createChangeReader<Change>(options: ChangeReaderOptions<Change>): ChangeReader<Change> {
  const { connection, key, unpack, blockMs = blockMsDefault } = options;
  return {
    end: async () => (await readState(connection, key)).lastId,
    read: async (position) => {
      const pipeline = connection.pipeline();
      pipeline.callBuffer("XREAD", "COUNT", entriesMax, "BLOCK", blockMs, "STREAMS", key, position);
      pipeline.callBuffer("XRANGE", key, position, position);
      const [streams, present] = (await run(pipeline)) as [readonly [Buffer, RawEntry[]][] | null, readonly RawEntry[]];
      if (present.length === 0 && !isWhole(position, await readState(connection, key))) return { kind: "lost" };
      const entries = (streams?.[0]?.[1] ?? []).map(([id, fields]): ChangeEntry<Change> => ({
        id: id.toString(),
        change: unpack(fields),
      }));
      return { kind: "read", entries, position: entries.at(-1)?.id ?? position };
    },
    stop: () => cutOff(connection),
  };
}

type RawEntry = [id: Buffer, fields: Buffer[]];

interface StreamState {
  readonly entries: number;
  /** Entries that were ever added. */
  readonly added: number;
  /** Id of the last entry, also when it is gone. */
  readonly lastId: ChangeId;
}

/** Whether nothing behind a position is missing, although no entry is at it. */
function isWhole(position: ChangeId, { entries, added, lastId }: StreamState): boolean {
  return position === beginning ? entries === added : entries === 0 && position === lastId;
}

async function readState(connection: BlockingConnection, key: string): Promise<StreamState> {
  const pipeline = connection.pipeline();
  pipeline.exists(key);
  pipeline.callBuffer("XINFO", "STREAM", key);
  const [[, exists], [error, reply]] = ((await pipeline.exec()) ?? []) as [[unknown, unknown], [Error | null, unknown]];
  if (exists === 0) return { entries: 0, added: 0, lastId: beginning };
  if (error !== null) throw error;
  const fields = reply as readonly unknown[];
  const field = (name: string): unknown => fields[fields.findIndex((value) => String(value) === name) + 1];
  return {
    entries: Number(field("length")),
    added: Number(field("entries-added")),
    lastId: String(field("last-generated-id")),
  };
}

async function run(pipeline: ReturnType<BlockingConnection["pipeline"]>): Promise<readonly unknown[]> {
  const replies = (await pipeline.exec()) ?? [];
  return replies.map(([error, reply]) => {
    if (error !== null) throw error;
    return reply;
  });
}
