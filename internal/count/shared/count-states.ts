import { assertNever } from "../../platform/errors/assert-never.ts";
import type { RedisStore } from "../../platform/redis/redis-store.ts";
import { defineScript } from "../../platform/redis/script.ts";
import {
  activateOnShard,
  type CountActivation,
  type CountCreation,
  createOnShard,
  type CreationResult,
  creationsMax,
} from "./count-creations.ts";
import { type CountStateWord, countStateOf, stateFormat } from "./count-state.ts";
import { type CountStoreLayout, readLayout } from "./count-store.ts";
import { keysOf, placesByShard, type ShardKeys, shardOf, valueMax } from "./key-schema.ts";
import { type ReadCount, readValues } from "./read-values.ts";
import { shardMetaLua } from "./shard-meta.ts";

/** What came of a change of a Count's state. */
export interface StateChange {
  /**
   * - `applied`: done now.
   * - `repeated`: this info revision had been applied before; nothing changed, the rest is the Count as it is now.
   * - `stale`: the Count carries a later info revision (`create`: it exists, under another one); nothing changed.
   * - `not_found`: no such Count; nothing changed, and the numbers below are 0. Never from `create`.
   * - `out_of_range`: `setBounds` with bounds that exclude the present value. Value and bounds stay; the Count carries the info
   *   revision from now on, so that a repeated or delayed attempt is refused as well, whatever the value is by then.
   */
  readonly outcome: "applied" | "repeated" | "stale" | "not_found" | "out_of_range";
  readonly state: CountStateWord;
  readonly value: number;
  readonly revision: number;
  /** Milliseconds since the Unix epoch, by the shard's clock. */
  readonly updateTimeMs: number;
  /** Info revision that the Count carries now. */
  readonly infoRevision: number;
}

/** Bounds of a value, inclusive; absent means -(2^53 - 1) and 2^53 - 1. */
export interface Bounds {
  readonly minValue?: number | undefined;
  readonly maxValue?: number | undefined;
}

/**
 * The state of Counts in the counts Redis, as management changes it. Every change names the info revision that it belongs to
 * (1 or more, growing with each change of the Count's row) and is idempotent by (count_id, info revision): repeating is always
 * right, also when the outcome of the first attempt is unknown, and a copy delayed on the way does no harm once a later info
 * revision was applied. Each is one atomic step. All of them throw UNAVAILABLE, reason STORE_UNAVAILABLE, when the store did
 * not answer: it may have been applied, repeat it.
 */
export interface CountStates {
  /**
   * Makes Counts with revision 1, pending: nobody can write to one before it is activated. The initial value is its first
   * change, in the outbox like any other. Those of one shard are made in steps of up to 512; an Error stands where a step's outcome is not
   * known, or where the outbox has no room: RESOURCE_EXHAUSTED, reason OUTBOX_FULL, with nothing changed.
   */
  createAll(creations: readonly CountCreation[]): Promise<readonly (StateChange | Error)[]>;
  /** Opens pending Counts for writes, in such steps too; their info revision is the one that they were created with. */
  activateAll(activations: readonly CountActivation[]): Promise<readonly (StateChange | Error)[]>;
  /** `createAll` of one; throws the Error. */
  create(creation: CountCreation): Promise<StateChange>;
  /** `activateAll` of one; throws the Error. */
  activate(activation: CountActivation): Promise<StateChange>;
  /** Sets both bounds. */
  setBounds(change: { readonly countId: string; readonly infoRevision: number } & Bounds): Promise<StateChange>;
  /** Sets the tombstone: no write is accepted once this has answered. Value and revision stay. */
  remove(change: { readonly countId: string; readonly infoRevision: number }): Promise<StateChange>;
  /** Removes the tombstone: the Count goes on with the value and revision it had. */
  restore(change: { readonly countId: string; readonly infoRevision: number }): Promise<StateChange>;
  /** Reads Counts from the primary, each value with its revision, in the order of the ids, in one round trip. */
  read(countIds: readonly string[]): Promise<readonly ReadCount[]>;
}

type Operation = "bounds" | "remove" | "restore";

/** Changes the state of Counts in `store`. A count-write must have recorded the store's layout. */
export function createCountStates(store: RedisStore, options: { readonly outboxBytesMax: number }): CountStates {
  let known: CountStoreLayout | undefined;
  const layoutOf = async (): Promise<CountStoreLayout> => (known ??= await readLayout(store));
  const change = async (
    operation: Operation,
    countId: string,
    infoRevision: number,
    bounds: Bounds,
  ): Promise<StateChange> => {
    const { shards } = await layoutOf();
    const keys = keysOf(shardOf(countId, shards));
    const [code, state, value, revision, updateTimeMs, carried] = await changeScript.run(
      store.client,
      [keys.states, keys.meta],
      [
        operation,
        countId,
        infoRevision.toString(),
        (bounds.minValue ?? -valueMax).toString(),
        (bounds.maxValue ?? valueMax).toString(),
      ],
    );
    const outcome = code.toString() as StateChange["outcome"];
    switch (outcome) {
      case "applied":
      case "repeated":
      case "stale":
      case "not_found":
      case "out_of_range":
        return {
          outcome,
          state: countStateOf(Number(state.toString())),
          value: Number(value.toString()),
          revision: Number(revision.toString()),
          updateTimeMs: Number(updateTimeMs.toString()),
          infoRevision: Number(carried.toString()),
        };
      default:
        return assertNever(outcome);
    }
  };

  const createAll: CountStates["createAll"] = (creations) =>
    onShards(layoutOf, creations, (keys, part) => createOnShard(store.client, keys, part, options.outboxBytesMax));
  const activateAll: CountStates["activateAll"] = (activations) =>
    onShards(layoutOf, activations, (keys, part) => activateOnShard(store.client, keys, part));

  return {
    createAll,
    activateAll,
    create: async (creation) => onlyOf(await createAll([creation])),
    activate: async (activation) => onlyOf(await activateAll([activation])),
    setBounds: ({ countId, infoRevision, ...bounds }) => change("bounds", countId, infoRevision, bounds),
    remove: ({ countId, infoRevision }) => change("remove", countId, infoRevision, {}),
    restore: ({ countId, infoRevision }) => change("restore", countId, infoRevision, {}),
    read: async (countIds) => (await readValues(store, await layoutOf(), countIds)).counts,
  };
}

/** Runs a step for each shard, or several after each other where there are more Counts than one takes. */
async function onShards<T extends CountActivation>(
  layoutOf: () => Promise<CountStoreLayout>,
  counts: readonly T[],
  step: (keys: ShardKeys, counts: readonly T[]) => Promise<readonly CreationResult[]>,
): Promise<readonly (StateChange | Error)[]> {
  const { shards } = await layoutOf();
  const results: (StateChange | Error)[] = Array.from({ length: counts.length });
  const onShard = async (shard: number, places: readonly number[]): Promise<void> => {
    for (let from = 0; from < places.length; from += creationsMax) {
      const part = places.slice(from, from + creationsMax);
      try {
        const answers = await step(
          keysOf(shard),
          part.map((place) => counts[place] as T),
        );
        for (const [index, place] of part.entries()) results[place] = changeOf(answers[index] as CreationResult);
      } catch (error) {
        const failure = error instanceof Error ? error : new Error(String(error));
        for (const place of part) results[place] = failure;
      }
    }
  };
  const byShard = placesByShard(counts, ({ countId }) => shardOf(countId, shards));
  await Promise.all([...byShard].map(([shard, places]) => onShard(shard, places)));
  return results;
}

function onlyOf([result]: readonly (StateChange | Error)[]): StateChange {
  if (result === undefined || result instanceof Error) throw result ?? new Error("nothing was asked for");
  return result;
}

function changeOf({ outcome, record }: CreationResult): StateChange {
  const { state = "active", value = 0, revision = 0, updateTimeMs = 0, infoRevision = 0 } = record ?? {};
  return { outcome, state, value, revision, updateTimeMs, infoRevision };
}

/** All checks stand before the first write, and no command after it can fail. */
const changeScript = defineScript<readonly [Buffer, Buffer, Buffer, Buffer, Buffer, Buffer]>({
  name: "change-count-state",
  keys: 2,
  lua: `
local META = KEYS[2]
${shardMetaLua}
local operation, id, given = ARGV[1], ARGV[2], tonumber(ARGV[3])
local low, high = tonumber(ARGV[4]), tonumber(ARGV[5])
local record = redis.call('HGET', KEYS[1], id)
local state, value, revision, time, min, max, info = 0, 0, 0, 0, 0, 0, 0
if record then state, value, revision, time, min, max, info = struct.unpack('${stateFormat}', record) end
local function answer(outcome)
  return {outcome, string.format('%d', state), string.format('%.0f', value), string.format('%.0f', revision),
    string.format('%.0f', time), string.format('%.0f', info)}
end
if not record then return answer('not_found') end
local function store() redis.call('HSET', KEYS[1], id, struct.pack('${stateFormat}', state, value, revision, time, min, max, info)) end
if given == info then
  -- Bounds that were set before are there; others were refused.
  if operation == 'bounds' and (min ~= low or max ~= high) then return answer('out_of_range') end
  return answer('repeated')
end
if given < info then return answer('stale') end
if operation == 'bounds' then
  if value < low or value > high then
    info = given
    store()
    return answer('out_of_range')
  end
  min, max = low, high
elseif operation == 'remove' then state = 2
else state = 1 end
info = given
store()
save_meta()
return answer('applied')
`,
});
