import type { RedisClient, RedisStore } from "../../../platform/redis/redis-store.ts";
import { defineScript } from "../../../platform/redis/script.ts";
import { keysOf } from "../../shared/key-schema.ts";
import { metaPlace, outboxBytes, shardMetaLua } from "../../shared/shard-meta.ts";

/** An entry of the outbox, as the counts store holds it. */
export interface OutboxEntry {
  readonly shard: number;
  /** Id in the shard's stream. */
  readonly id: string;
  /** What was asked, packed. */
  readonly asked: Buffer;
  /** The request ids, packed. */
  readonly requested: Buffer;
  /** The reply, packed. */
  readonly reply: Buffer;
  /** Outbox bytes written up to the end of this entry; NaN in an entry that nobody can read. */
  readonly position: number;
}

/** What waits in the outbox, over all shards. */
export interface OutboxState {
  /** Entries, but for those of parked shards. */
  readonly depth: number;
  /** Age of the oldest of them in milliseconds, by the store's clock; 0 when there is none. */
  readonly ageMs: number;
  /** Entries of parked shards. */
  readonly parked: number;
  /** Bytes of all, as the bound counts them. */
  readonly bytes: number;
}

/** What to read of the outbox. */
export interface ReadEntriesOptions {
  /** The outbox of each shard. */
  readonly keys: readonly string[];
  /** Whether to read nothing of a shard; not all at once. */
  readonly isSkipped: (shard: number) => boolean;
  /** Per shard, the id of the entry after which to begin; "0" for the first. */
  readonly after: readonly string[];
  /** Most entries per shard. */
  readonly countMax: number;
  /** How long to wait for an entry while there is none. */
  readonly blockMs: number;
}

const nothing = Buffer.alloc(0);

/** Reads entries over a connection of its own, in order per shard; none when none came in time. */
export async function readEntries(
  connection: RedisClient,
  { keys, isSkipped, after, countMax, blockMs }: ReadEntriesOptions,
): Promise<readonly OutboxEntry[]> {
  const isRead = (_: string, shard: number): boolean => !isSkipped(shard);
  const streams = [...keys.filter(isRead), ...after.filter(isRead)];
  const command = ["COUNT", countMax, "BLOCK", blockMs, "STREAMS", ...streams] as const;
  const reply = await connection.callBuffer("xread", ...command);
  const entries: OutboxEntry[] = [];
  for (const [key, list] of (reply ?? []) as [Buffer, [Buffer, Buffer[]][]][]) {
    const shard = keys.indexOf(key.toString());
    for (const [id, [, asked, , requested, , packed, , position]] of list) {
      // What is no entry of ours is found unreadable later, with its shard.
      entries.push({
        shard,
        id: id.toString(),
        asked: asked ?? nothing,
        requested: requested ?? nothing,
        reply: packed ?? nothing,
        position: position?.length === 8 ? position.readDoubleLE(0) : Number.NaN,
      });
    }
  }
  return entries;
}

/** Removes entries, and all before them, from the outbox of each shard. Safe to repeat, at any time. */
export async function trimEntries(store: RedisStore, entries: readonly OutboxEntry[]): Promise<void> {
  const last = new Map<number, OutboxEntry>();
  for (const entry of entries) last.set(entry.shard, entry);
  await Promise.all(
    [...last].map(([shard, { id, position }]) => {
      const keys = keysOf(shard);
      const [ms, sequence] = id.split("-");
      const first = `${ms}-${BigInt(sequence as string) + 1n}`;
      return trimScript.run(store.client, [keys.outbox, keys.meta], [first, position.toString()]);
    }),
  );
}

/** Reads what waits in a store of so many shards. */
export async function readOutboxState(store: RedisStore, shards: number): Promise<OutboxState> {
  const pipeline = store.client.pipeline();
  pipeline.time();
  for (let shard = 0; shard < shards; shard += 1) {
    const keys = keysOf(shard);
    pipeline.xlen(keys.outbox);
    pipeline.xrange(keys.outbox, "-", "+", "COUNT", 1);
    pipeline.getBuffer(keys.meta);
    pipeline.exists(keys.parked);
  }
  const replies = ((await pipeline.exec()) ?? []).map(([error, reply]) => {
    if (error !== null) throw error;
    return reply;
  });
  const [seconds] = replies[0] as [string | number];
  const total = { depth: 0, ageMs: 0, parked: 0, bytes: 0 };
  for (let place = 1; place < replies.length; place += 4) {
    const [oldest] = replies[place + 1] as [string, string[]][];
    total.bytes += outboxBytes(replies[place + 2] as Buffer | null);
    const entries = replies[place] as number;
    if (replies[place + 3] === 1) {
      total.parked += entries;
      continue;
    }
    total.depth += entries;
    if (oldest !== undefined) {
      total.ageMs = Math.max(total.ageMs, Number(seconds) * 1000 - Number(oldest[0].split("-")[0]));
    }
  }
  return total;
}

const trimScript = defineScript<number>({
  name: "trim-outbox",
  runsWhenFull: true,
  keys: 2,
  lua: `
local META = KEYS[2]
${shardMetaLua}
local position = tonumber(ARGV[2])
local removed = redis.call('XTRIM', KEYS[1], 'MINID', '=', ARGV[1])
if position > meta[${metaPlace.trimmed}] then
  meta[${metaPlace.trimmed}] = position
  save_meta()
end
return removed
`,
});
