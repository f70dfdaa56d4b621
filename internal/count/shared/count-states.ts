import { assertNever } from "../../platform/errors/assert-never.ts";
import type { RedisStore } from "../../platform/redis/redis-store.ts";
import { defineScript } from "../../platform/redis/script.ts";
import { type CountStateWord, countStateOf, stateFormat } from "./count-state.ts";
import { type CountStoreLayout, readLayout } from "./count-store.ts";
import { countErrors } from "./errors.ts";
import { keysOf, shardOf, valueMax } from "./key-schema.ts";
import { packAsked, replyFormat } from "./packed-writes.ts";
import { type ReadCount, readValues } from "./read-values.ts";
import { metaPlace, outboxEntryOverheadBytes, shardMetaLua } from "./shard-meta.ts";

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
   * Makes a Count with revision 1, pending: nobody can write to it before it is activated. The initial value is its first
   * change, in the outbox like any other. Throws RESOURCE_EXHAUSTED, reason OUTBOX_FULL, with nothing changed.
   */
  create(
    change: { readonly countId: string; readonly infoRevision: number; readonly initialValue: number } & Bounds,
  ): Promise<StateChange>;
  /** Opens a pending Count for writes; its info revision is the one that it was created with. */
  activate(change: { readonly countId: string; readonly infoRevision: number }): Promise<StateChange>;
  /** Sets both bounds. */
  setBounds(change: { readonly countId: string; readonly infoRevision: number } & Bounds): Promise<StateChange>;
  /** Sets the tombstone: no write is accepted once this has answered. Value and revision stay. */
  remove(change: { readonly countId: string; readonly infoRevision: number }): Promise<StateChange>;
  /** Removes the tombstone: the Count goes on with the value and revision it had. */
  restore(change: { readonly countId: string; readonly infoRevision: number }): Promise<StateChange>;
  /** Reads Counts from the primary, each value with its revision, in the order of the ids, in one round trip. */
  read(countIds: readonly string[]): Promise<readonly ReadCount[]>;
}

type Operation = "create" | "activate" | "bounds" | "remove" | "restore";

/** Changes the state of Counts in `store`. A count-write must have recorded the store's layout. */
export function createCountStates(store: RedisStore, options: { readonly outboxBytesMax: number }): CountStates {
  const { outboxBytesMax } = options;
  let known: CountStoreLayout | undefined;
  const layoutOf = async (): Promise<CountStoreLayout> => (known ??= await readLayout(store));
  const change = async (
    operation: Operation,
    countId: string,
    infoRevision: number,
    numbers: { readonly initialValue?: number } & Bounds,
  ): Promise<StateChange> => {
    const { shards } = await layoutOf();
    const keys = keysOf(shardOf(countId, shards));
    const initialValue = numbers.initialValue ?? 0;
    const [code, state, value, revision, updateTimeMs, carried] = await changeScript.run(
      store.client,
      [keys.states, keys.outbox, keys.meta],
      [
        operation,
        countId,
        infoRevision.toString(),
        initialValue.toString(),
        (numbers.minValue ?? -valueMax).toString(),
        (numbers.maxValue ?? valueMax).toString(),
        outboxBytesMax.toString(),
        // A Set of one Count, as a batch of a writer would say it.
        packAsked({ countIds: [countId], places: [1], kinds: "s", operands: [initialValue] }),
      ],
    );
    const outcome = code.toString() as StateChange["outcome"] | "outbox_full";
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
      case "outbox_full":
        throw countErrors.outboxFull();
      default:
        return assertNever(outcome);
    }
  };
  return {
    create: ({ countId, infoRevision, ...numbers }) => change("create", countId, infoRevision, numbers),
    activate: ({ countId, infoRevision }) => change("activate", countId, infoRevision, {}),
    setBounds: ({ countId, infoRevision, ...numbers }) => change("bounds", countId, infoRevision, numbers),
    remove: ({ countId, infoRevision }) => change("remove", countId, infoRevision, {}),
    restore: ({ countId, infoRevision }) => change("restore", countId, infoRevision, {}),
    read: async (countIds) => (await readValues(store, await layoutOf(), countIds)).counts,
  };
}

/** All checks stand before the first write, and no command after it can fail. */
const changeScript = defineScript<readonly [Buffer, Buffer, Buffer, Buffer, Buffer, Buffer]>({
  name: "change-count-state",
  keys: 3,
  lua: `
local META = KEYS[3]
${shardMetaLua}
local operation, id, given = ARGV[1], ARGV[2], tonumber(ARGV[3])
local low, high = tonumber(ARGV[5]), tonumber(ARGV[6])
local record = redis.call('HGET', KEYS[1], id)
local state, value, revision, time, min, max, info = 0, 0, 0, 0, 0, 0, 0
if record then state, value, revision, time, min, max, info = struct.unpack('${stateFormat}', record) end
local function answer(outcome)
  return {outcome, string.format('%d', state), string.format('%.0f', value), string.format('%.0f', revision),
    string.format('%.0f', time), string.format('%.0f', info)}
end
if not record and operation ~= 'create' then return answer('not_found') end
local function store() redis.call('HSET', KEYS[1], id, struct.pack('${stateFormat}', state, value, revision, time, min, max, info)) end
if operation == 'activate' then
  if given ~= info then return answer('stale') end
  if state ~= 3 then return answer('repeated') end
  state = 1
  store()
  return answer('applied')
end
if record and given == info then
  -- Bounds that were set before are there; others were refused.
  if operation == 'bounds' and (min ~= low or max ~= high) then return answer('out_of_range') end
  return answer('repeated')
end
if record and (given < info or operation == 'create') then return answer('stale') end
local entry, size
if operation == 'create' then
  state, value, revision, time, min, max = 3, tonumber(ARGV[4]), 1, now, low, high
  entry = struct.pack('${replyFormat}ddd', now, 0, 1, 0, '', value, 1, 0)
  size = #ARGV[8] + #entry + ${outboxEntryOverheadBytes}
  if meta[${metaPlace.written}] - meta[${metaPlace.trimmed}] + size > tonumber(ARGV[7]) then return answer('outbox_full') end
  redis.call('XLEN', KEYS[2])
elseif operation == 'bounds' then
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
if entry then
  meta[${metaPlace.written}] = meta[${metaPlace.written}] + size
  redis.call('XADD', KEYS[2], '*', 'w', ARGV[8], 'i', '', 'r', entry, 'p', struct.pack('<d', meta[${metaPlace.written}]))
end
save_meta()
return answer('applied')
`,
});
