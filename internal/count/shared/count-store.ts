import type { Random } from "../../platform/clock/random.ts";
import { storeErrors } from "../../platform/errors/store-errors.ts";
import type { RedisReader, RedisStore } from "../../platform/redis/redis-store.ts";
import { shardsDefault, shardsMax, storeKey } from "./key-schema.ts";

/** What a counts store is: for ever, but for its generation. */
export interface CountStoreLayout {
  /** UUID, made when the store was first used. */
  readonly storeId: string;
  /** A power of two, 1 to 64. */
  readonly shards: number;
  /** The epoch of its events: 0 until the store is restored from a copy. Revisions are compared within one generation only. */
  readonly generation: number;
}

/**
 * Reads the layout, recording it first in a store that is new: `shards`, or 1 when that is 0, which fits every store. Throws when the
 * store was made with another number of shards: a Count's shard would not be found again.
 */
export async function recordLayout(
  store: RedisStore,
  { shards, random }: { readonly shards: number; readonly random: Random },
): Promise<CountStoreLayout> {
  if (shards !== 0 && (!Number.isInteger(Math.log2(shards)) || shards < 1 || shards > shardsMax)) {
    throw new Error(`the number of shards must be 0 or a power of two from 1 to ${shardsMax}, not ${shards}`);
  }
  const { client } = store;
  await client.hsetnx(storeKey, "shards", (shards === 0 ? shardsDefault : shards).toString());
  await client.hsetnx(storeKey, "id", random.uuid());
  const layout = await readLayout(store);
  if (shards !== 0 && layout.shards !== shards) {
    throw new Error(`the counts store has ${layout.shards} shards, recorded for ever; the setting says ${shards}`);
  }
  return layout;
}

/** Reads the layout. Throws UNAVAILABLE, reason STORE_UNAVAILABLE, while no writer has recorded it yet. */
export async function readLayout(store: RedisReader | RedisStore): Promise<CountStoreLayout> {
  const [storeId, shards, generation] = await store.client.hmget(storeKey, "id", "shards", "generation");
  if (typeof storeId !== "string" || typeof shards !== "string") throw storeErrors.unavailable();
  return { storeId, shards: Number(shards), generation: Number(generation ?? 0) };
}
