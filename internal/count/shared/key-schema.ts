/**
 * The key schema of the counts Redis. Every key begins with "count:". A Count lives on one of 1 to 64 shards; its shard stands
 * as hash tag in every key that a script touches together, so that the same scripts run on Redis Cluster.
 *
 * | key | type | holds |
 * | --- | --- | --- |
 * | `count:store` | hash | `id` (UUID of the store), `shards` (how many): written once |
 * | `count:{N}:states` | hash | per Count: state, value, revision, update time, bounds, info revision (`count-state.ts`) |
 * | `count:{N}:meta` | string | the shard's clock, outbox bytes and request-id buckets (`shard-meta.ts`) |
 * | `count:{N}:outbox` | stream | one entry per applied batch (`internal/count/write/write/store-redis.ts`) |
 * | `count:{N}:parked` | hash | which entry of the outbox the bus refuses, and why (`internal/count/write/outbox/parked-shards.ts`) |
 * | `count:{N}:requests:1` to `:5` | hash | per request id: the first reply, and per caller how many are theirs, in buckets of a quarter window |
 * | `count:{N}:writer:<id>` | hash | a writer's last sequences and replies; of an import, for ever |
 * | `count:{N}:heartbeat` | string | Redis TIME of the primary in milliseconds, decimal |
 * | `count:{N}:import:<key>` and `count:{N}:imports:<key>` | hash, list | imports (`internal/count/write/import/store-redis.ts`) |
 */
export const storeKey = "count:store";

/** Shards of a store that is new, unless the setting says otherwise. */
export const shardsDefault = 1;

/** Most shards that a store may have. */
export const shardsMax = 64;

/** Largest value, delta or bound (and, negated, the smallest) that is exact in Lua, JSON and JavaScript: 2^53 - 1. */
export const valueMax = Number.MAX_SAFE_INTEGER;

/** Buckets of request ids: the window is at least four of them, so that an id lives for the whole window. */
export const requestBuckets = 5;

/** The keys of a shard. */
export interface ShardKeys {
  readonly states: string;
  readonly meta: string;
  readonly outbox: string;
  readonly parked: string;
  readonly requests: readonly string[];
  readonly heartbeat: string;
  /** The memory of a writer. */
  writer(id: string): string;
}

/** The keys of shard `shard`, from 0. */
export function keysOf(shard: number): ShardKeys {
  const prefix = `count:{${shard}}:`;
  return {
    states: `${prefix}states`,
    meta: `${prefix}meta`,
    outbox: `${prefix}outbox`,
    parked: `${prefix}parked`,
    requests: Array.from({ length: requestBuckets }, (_, index) => `${prefix}requests:${index + 1}`),
    heartbeat: `${prefix}heartbeat`,
    writer: (id) => `${prefix}writer:${id}`,
  };
}

/** The shard of a Count: FNV-1a of the id, 32 bits, its halves folded, modulo the power of two that `shards` is. */
export function shardOf(countId: string, shards: number): number {
  let hash = 0x811c9dc5;
  for (let place = 0; place < countId.length; place += 1) {
    hash = Math.imul(hash ^ countId.charCodeAt(place), 0x01000193);
  }
  return (hash ^ (hash >>> 16)) & (shards - 1);
}

/** Sorts things by shard: per shard their places in `things`, ascending. */
export function placesByShard<T>(things: readonly T[], shardOfThing: (thing: T) => number): Map<number, number[]> {
  const shards = new Map<number, number[]>();
  for (const [place, thing] of things.entries()) {
    const shard = shardOfThing(thing);
    const places = shards.get(shard);
    if (places === undefined) shards.set(shard, [place]);
    else places.push(place);
  }
  return shards;
}
