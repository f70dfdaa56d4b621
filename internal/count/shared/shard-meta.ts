import { requestBuckets } from "./key-schema.ts";

/** Numbers in the meta record, and how `struct` takes them: little-endian float64. */
const metaNumbers = 6 + 2 * requestBuckets;
const metaFormat = `<${"d".repeat(metaNumbers)}`;

/**
 * Lua that reads and writes a shard's meta record, float64 numbers: the last Redis TIME seen in milliseconds, the clock's offset, bytes ever written to the outbox, bytes of them trimmed, the current request bucket (from 1), when it was
 * opened, then per bucket its last write's time and its number of ids.
 *
 * The shard's clock is Redis TIME plus an offset that grows by the difference whenever TIME falls below the last seen: it never
 * goes back.
 *
 * Defines `meta`, `now` (milliseconds by the shard's clock) and `save_meta()`. Expects META to be the key.
 */
export const shardMetaLua = `
local meta = redis.call('GET', META)
if meta then meta = {struct.unpack('${metaFormat}', meta)} else meta = {0, 0, 0, 0, 1, 0${", 0, 0".repeat(requestBuckets)}} end
local clock = redis.call('TIME')
local raw = clock[1] * 1000 + math.floor(clock[2] / 1000)
if raw < meta[1] then meta[2] = meta[2] + (meta[1] - raw) end
meta[1] = raw
local now = raw + meta[2]
local function save_meta() redis.call('SET', META, struct.pack('${metaFormat}', unpack(meta))) end
`;

/** Places in the meta record, from 1 as Lua counts. */
export const metaPlace = { lastSeen: 1, offset: 2, written: 3, trimmed: 4, bucket: 5, opened: 6, buckets: 7 } as const;

/** Bytes that an outbox entry is counted for beside its content. */
export const outboxEntryOverheadBytes = 128;

/** What the outbox of a shard holds, in bytes, by its meta record. */
export function outboxBytes(meta: Buffer | null): number {
  if (meta === null) return 0;
  return meta.readDoubleLE(8 * (metaPlace.written - 1)) - meta.readDoubleLE(8 * (metaPlace.trimmed - 1));
}
