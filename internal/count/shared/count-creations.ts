import type { RedisClient } from "../../platform/redis/redis-store.ts";
import { defineScript } from "../../platform/redis/script.ts";
import { type CountStateRecord, decodeCountState, stateFormat } from "./count-state.ts";
import { countErrors } from "./errors.ts";
import { type ShardKeys, valueMax } from "./key-schema.ts";
import { packedWritesMax, replyFormat } from "./packed-writes.ts";
import { metaPlace, outboxEntryOverheadBytes, shardMetaLua } from "./shard-meta.ts";

/** Most Counts that one call of a script takes: their first changes are one entry of the outbox. */
export const creationsMax: number = packedWritesMax;

/** A Count to be made. */
export interface CountCreation {
  readonly countId: string;
  readonly infoRevision: number;
  readonly initialValue: number;
  /** Absent means -(2^53 - 1). */
  readonly minValue?: number | undefined;
  /** Absent means 2^53 - 1. */
  readonly maxValue?: number | undefined;
}

/** A Count to be opened for writes, by the info revision that it was made with. */
export type CountActivation = Pick<CountCreation, "countId" | "infoRevision">;

/** What came of one of several Counts, and the Count as it is now. */
export interface CreationResult {
  readonly outcome: "applied" | "repeated" | "stale" | "not_found";
  /** `undefined`: there is none. */
  readonly record: CountStateRecord | undefined;
}

/**
 * Makes Counts of one shard, at most `creationsMax`, each by itself, in one step. Throws RESOURCE_EXHAUSTED, reason OUTBOX_FULL, with nothing
 * changed.
 */
export async function createOnShard(
  client: RedisClient,
  keys: ShardKeys,
  creations: readonly CountCreation[],
  outboxBytesMax: number,
): Promise<readonly CreationResult[]> {
  const args: (string | Buffer)[] = [outboxBytesMax.toString()];
  for (const { countId, infoRevision, initialValue, minValue, maxValue } of creations) {
    const numbers = Buffer.allocUnsafe(32);
    numbers.writeDoubleLE(infoRevision, 0);
    numbers.writeDoubleLE(initialValue, 8);
    numbers.writeDoubleLE(minValue ?? -valueMax, 16);
    numbers.writeDoubleLE(maxValue ?? valueMax, 24);
    args.push(countId, numbers);
  }
  const reply = await createScript.run(client, [keys.states, keys.outbox, keys.meta], args);
  if (reply.length === 0) throw countErrors.outboxFull();
  return resultsOf(reply);
}

/** Opens Counts of one shard for writes, at most `creationsMax`, each by itself, in one step. */
export async function activateOnShard(
  client: RedisClient,
  keys: ShardKeys,
  activations: readonly CountActivation[],
): Promise<readonly CreationResult[]> {
  const args = activations.flatMap(({ countId, infoRevision }) => [countId, infoRevision.toString()]);
  return resultsOf(await activateScript.run(client, [keys.states], args));
}

const outcomes: Readonly<Record<string, CreationResult["outcome"]>> = {
  a: "applied",
  r: "repeated",
  s: "stale",
  n: "not_found",
};

/** Reads a letter for each Count, then the record of each, empty where there is none. */
function resultsOf([letters, ...records]: readonly Buffer[]): readonly CreationResult[] {
  return records.map((record, place) => {
    const letter = String.fromCharCode(letters?.[place] ?? 0);
    const outcome = outcomes[letter];
    if (outcome === undefined) throw new Error(`the counts store answers ${JSON.stringify(letter)} for a Count`);
    return { outcome, record: record.length === 0 ? undefined : decodeCountState(record) };
  });
}

/** All checks stand before the first write, and no command after it can fail. */
const createScript = defineScript<readonly Buffer[]>({
  name: "create-counts",
  keys: 3,
  lua: `
local META = KEYS[3]
${shardMetaLua}
local ids = {}
for place = 2, #ARGV, 2 do ids[#ids + 1] = ARGV[place] end
local records = redis.call('HMGET', KEYS[1], unpack(ids))
local letters, made, stored = '', {}, {}
local names, operands, numbers = {}, {}, {}
for place, id in ipairs(ids) do
  local given, value, low, high = struct.unpack('<dddd', ARGV[2 * place + 1])
  local record = records[place] or made[id]
  if record then
    local _, _, _, _, _, _, info = struct.unpack('${stateFormat}', record)
    letters = letters .. (given == info and 'r' or 's')
  else
    record = struct.pack('${stateFormat}', 3, value, 1, now, low, high, given)
    made[id] = record
    stored[#stored + 1] = id
    stored[#stored + 1] = record
    names[#names + 1] = string.char(#id) .. id
    operands[#operands + 1] = struct.pack('<d', value)
    numbers[#numbers + 1] = struct.pack('<dd', value, 1)
    letters = letters .. 'a'
  end
  records[place] = record
end
local count = #names
if count > 0 then
  -- Sets, as a batch of a writer would say them, each of a value that was 0 before.
  local asked = struct.pack('<HH', count, count) .. string.rep('s', count) .. table.concat(operands) .. table.concat(names)
  local reply = struct.pack('${replyFormat}', now, 0, count, 0, '') .. table.concat(numbers) .. string.rep(struct.pack('<d', 0), count)
  local size = #asked + #reply + ${outboxEntryOverheadBytes}
  if meta[${metaPlace.written}] - meta[${metaPlace.trimmed}] + size > tonumber(ARGV[1]) then return {} end
  redis.call('XLEN', KEYS[2])
  redis.call('HSET', KEYS[1], unpack(stored))
  meta[${metaPlace.written}] = meta[${metaPlace.written}] + size
  redis.call('XADD', KEYS[2], '*', 'w', asked, 'i', '', 'r', reply, 'p', struct.pack('<d', meta[${metaPlace.written}]))
  save_meta()
end
return {letters, unpack(records)}
`,
});

const activateScript = defineScript<readonly Buffer[]>({
  name: "activate-counts",
  keys: 1,
  lua: `
local ids = {}
for place = 1, #ARGV, 2 do ids[#ids + 1] = ARGV[place] end
local records = redis.call('HMGET', KEYS[1], unpack(ids))
local letters, opened = '', {}
for place, id in ipairs(ids) do
  local record = records[place]
  if not record then
    letters = letters .. 'n'
    records[place] = ''
  else
    local state, value, revision, time, min, max, info = struct.unpack('${stateFormat}', record)
    if tonumber(ARGV[2 * place]) ~= info then
      letters = letters .. 's'
    elseif state ~= 3 then
      letters = letters .. 'r'
    else
      letters = letters .. 'a'
      records[place] = struct.pack('${stateFormat}', 1, value, revision, time, min, max, info)
      opened[#opened + 1] = id
      opened[#opened + 1] = records[place]
    end
  end
end
if #opened > 0 then redis.call('HSET', KEYS[1], unpack(opened)) end
return {letters, unpack(records)}
`,
});
