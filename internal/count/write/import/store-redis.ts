import { decode, encode } from "@msgpack/msgpack";
import type { RedisStore } from "../../../platform/redis/redis-store.ts";
import { defineScript } from "../../../platform/redis/script.ts";
import { shardOf } from "../../shared/key-schema.ts";
import type { ImportIntent, ImportPrefix, ImportRefusal, ImportStore } from "./store.ts";

/** Most imports that one caller may have with the same options, and in all. */
const importsMax = 10_000;
/** Most assignments that an import may have. */
const assignmentsMax = 1_000_000;

/** Keeps imports in `store`, which has `shards` shards. */
export function createImportStore(store: RedisStore, shards: number): ImportStore {
  const { client } = store;
  const indexKey = (index: string): string => `count:{${shardOf(index, shards)}}:imports:${index}`;
  const homeKey = (key: string): string => `count:{${shardOf(key, shards)}}:import:${key}`;
  const valuesKey = (key: string): string => `${homeKey(key)}:values`;
  return {
    find: async (index) => {
      const entries = await client.hgetall(indexKey(index));
      return Object.entries(entries).map(([field, importId]) => ({ prefix: prefixOf(field), importId }));
    },
    enter: async (index, prefix, importId, replaced) => {
      const id = await enterScript.run(
        client,
        [indexKey(index)],
        [importsMax, fieldOf(prefix), importId, ...replaced.map(fieldOf)],
      );
      return id?.toString();
    },
    read: async (key) => {
      const fields = await client.hgetallBuffer(homeKey(key));
      if (fields["sequence"] === undefined) return undefined;
      const { options, prefix, last, refused, intent, intent_hash: intentHash } = fields;
      return {
        optionsHash: options as Buffer,
        prefixBytes: numberOf(fields["prefix_bytes"]),
        prefixHash: prefix as Buffer,
        offset: numberOf(fields["offset"]),
        tailHash: hashIn(fields["tail"]),
        sequence: numberOf(fields["sequence"]),
        lines: numberOf(fields["lines"]),
        lastHash: last as Buffer,
        lastRefused: decode(refused as Buffer) as readonly ImportRefusal[],
        intent: intent === undefined ? undefined : { hash: intentHash as Buffer, batch: unpackIntent(decode(intent)) },
      };
    },
    open: async (key, optionsHash, prefix, anew) => {
      await openScript.run(
        client,
        [homeKey(key), valuesKey(key)],
        [anew ? "anew" : "", optionsHash, prefix.bytes, prefix.hash, encode([])],
      );
    },
    begin: async (key, batch, hash) => {
      const outcome = await beginScript.run(
        client,
        [homeKey(key), valuesKey(key)],
        [batch.sequence, packIntent(batch), hash, batch.assignments.length, assignmentsMax],
      );
      return outcome.toString() as "begun" | "out_of_sequence" | "full";
    },
    complete: async (key, batch, refused) => {
      await completeScript.run(
        client,
        [homeKey(key), valuesKey(key)],
        [
          batch.sequence,
          batch.offsetEnd,
          batch.lines,
          encode(refused),
          batch.tailHash ?? "",
          ...batch.assignments.map((pair) => encode(pair)),
        ],
      );
    },
    assignments: async (key, from, count) => {
      const packed = await client.lrangeBuffer(valuesKey(key), from, from + count - 1);
      return packed.map((pair) => decode(pair) as readonly [string, string]);
    },
  };
}

function numberOf(text: Buffer | undefined): number {
  return Number(text?.toString());
}

/** A hash that is kept; `undefined` for none, as imports begun by earlier versions have. */
function hashIn(field: Buffer | undefined): Buffer | undefined {
  return field === undefined || field.length === 0 ? undefined : field;
}

/** Packs a batch, the same batch always to the same bytes. */
export function packIntent(batch: ImportIntent): Uint8Array {
  const { sequence, offsetEnd, lines, countIds, deltas, assignments, tailHash } = batch;
  const tail = tailHash === undefined ? [] : [tailHash];
  return encode([sequence, offsetEnd, lines, countIds, deltas, assignments, ...tail]);
}

function unpackIntent(packed: unknown): ImportIntent {
  const [sequence, offsetEnd, lines, countIds, deltas, assignments, tailHash] = packed as readonly [
    number,
    number,
    number,
    readonly string[],
    readonly number[],
    readonly (readonly [string, string])[],
    Uint8Array?,
  ];
  const tail = tailHash === undefined ? {} : { tailHash };
  return { sequence, offsetEnd, lines, countIds, deltas, assignments, ...tail };
}

/** "bytes:hash" in hexadecimal names a beginning in the index. */
function fieldOf({ bytes, hash }: ImportPrefix): string {
  return `${bytes}:${hash.toString("hex")}`;
}

function prefixOf(field: string): ImportPrefix {
  const [bytes, hash] = field.split(":") as [string, string];
  return { bytes: Number(bytes), hash: Buffer.from(hash, "hex") };
}

const enterScript = defineScript<Buffer | null>({
  name: "import-enter",
  keys: 1,
  lua: `
local standing = redis.call('HGET', KEYS[1], ARGV[2])
if #ARGV == 3 and standing then return standing end
if not standing and redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[1]) then return false end
for place = 4, #ARGV do redis.call('HDEL', KEYS[1], ARGV[place]) end
redis.call('HSET', KEYS[1], ARGV[2], ARGV[3])
return ARGV[3]
`,
});

const openScript = defineScript<number>({
  name: "import-open",
  keys: 2,
  lua: `
local sequence = redis.call('HGET', KEYS[1], 'sequence')
redis.call('LLEN', KEYS[2])
if sequence and (ARGV[1] == '' or redis.call('HEXISTS', KEYS[1], 'intent') == 1) then return 0 end
redis.call('UNLINK', KEYS[2])
redis.call('HSET', KEYS[1], 'options', ARGV[2], 'prefix_bytes', ARGV[3], 'prefix', ARGV[4], 'offset', '0',
  'sequence', sequence or '0', 'lines', '0', 'tail', '', 'last', '', 'refused', ARGV[5])
return 1
`,
});

const beginScript = defineScript<Buffer>({
  name: "import-begin",
  keys: 2,
  lua: `
local sequence, intent_hash = unpack(redis.call('HMGET', KEYS[1], 'sequence', 'intent_hash'))
if intent_hash then return intent_hash == ARGV[3] and 'begun' or 'out_of_sequence' end
if not sequence or tonumber(ARGV[1]) ~= tonumber(sequence) + 1 then return 'out_of_sequence' end
if redis.call('LLEN', KEYS[2]) + tonumber(ARGV[4]) > tonumber(ARGV[5]) then return 'full' end
redis.call('HSET', KEYS[1], 'intent', ARGV[2], 'intent_hash', ARGV[3])
return 'begun'
`,
});

const completeScript = defineScript<number>({
  name: "import-complete",
  keys: 2,
  lua: `
local intent_hash, sequence, lines = unpack(redis.call('HMGET', KEYS[1], 'intent_hash', 'sequence', 'lines'))
-- A kept batch is the one after the last, so the sequence says whether it is this one.
if tonumber(sequence) + 1 ~= tonumber(ARGV[1]) then return 0 end
local total = string.format('%.0f', tonumber(lines) + tonumber(ARGV[3]))
redis.call('LLEN', KEYS[2])
redis.call('HSET', KEYS[1], 'sequence', ARGV[1], 'offset', ARGV[2], 'lines', total, 'last', intent_hash, 'refused', ARGV[4],
  'tail', ARGV[5])
redis.call('HDEL', KEYS[1], 'intent', 'intent_hash')
if #ARGV > 5 then redis.call('RPUSH', KEYS[2], unpack(ARGV, 6)) end
return 1
`,
});
