import { decode, encode } from "@msgpack/msgpack";
import type { RedisStore } from "../../platform/redis/redis-store.ts";
import { defineScript } from "../../platform/redis/script.ts";
import { shardOf } from "../shared/key-schema.ts";

/** Most imports that one caller may have with the same options. */
const importsMax = 10_000;
/** Most assignments that an import may have. */
const assignmentsMax = 1_000_000;

/** A batch of an import, as it is kept until it is applied. */
export interface ImportIntent {
  readonly sequence: number;
  readonly offsetEnd: number;
  readonly lines: number;
  readonly countIds: readonly string[];
  readonly deltas: readonly number[];
  /** Pairs of original value and Count. */
  readonly assignments: readonly (readonly [value: string, countId: string])[];
}

/** A write that a Count refused after its batch had begun. */
export interface ImportRefusal {
  readonly countId: string;
  readonly delta: number;
  readonly reason: string;
}

/** An import, as its home record holds it. */
export interface ImportRecord {
  /** SHA-256 of the options. */
  readonly optionsHash: Buffer;
  /** Bytes of the file's beginning that name it, and their SHA-256; 0 and empty when it has none. */
  readonly prefixBytes: number;
  readonly prefixHash: Buffer;
  readonly offset: number;
  readonly sequence: number;
  readonly lines: number;
  /** SHA-256 of the last batch, and what it was answered. */
  readonly lastHash: Buffer;
  readonly lastRefused: readonly ImportRefusal[];
  /** A batch that was begun and not completed. */
  readonly intent: { readonly hash: Buffer; readonly batch: ImportIntent } | undefined;
}

/** The beginning of a file. */
export interface ImportPrefix {
  readonly bytes: number;
  readonly hash: Buffer;
}

/**
 * Imports in the counts Redis. Each has a home record on the shard of its key, for ever; the key is made of caller and import
 * id. Every step is one atomic script and safe to repeat. All throw UNAVAILABLE, reason STORE_UNAVAILABLE.
 */
export interface ImportStore {
  /** The imports of a caller with these options: their ids by the beginnings they are found by. */
  find(index: string): Promise<readonly { readonly prefix: ImportPrefix; readonly importId: string }[]>;
  /**
   * Enters an import under the beginning of its file, instead of those of `replaced`. Returns the id that stands there: another
   * one when two began at once, `undefined` when there are too many imports.
   */
  enter(
    index: string,
    prefix: ImportPrefix,
    importId: string,
    replaced: readonly ImportPrefix[],
  ): Promise<string | undefined>;
  read(key: string): Promise<ImportRecord | undefined>;
  /** Begins an import, or leaves it as it is when there is one and `anew` is false. `anew` keeps only the sequence. */
  open(key: string, optionsHash: Uint8Array, prefix: ImportPrefix, anew: boolean): Promise<void>;
  /**
   * Keeps a batch until it is completed. `begun`: it is kept now, or was. `out_of_sequence`: it is not the next one, or another
   * batch is under way. `full`: its assignments would be too many.
   */
  begin(key: string, batch: ImportIntent, hash: Uint8Array): Promise<"begun" | "out_of_sequence" | "full">;
  /** Moves the import past its batch; does nothing when that was done. */
  complete(key: string, batch: ImportIntent, refused: readonly ImportRefusal[]): Promise<void>;
  /** Assignments from place `from`, in the order in which they were made. */
  assignments(
    key: string,
    from: number,
    count: number,
  ): Promise<readonly (readonly [value: string, countId: string])[]>;
}

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

/** Packs a batch, the same batch always to the same bytes. */
export function packIntent(batch: ImportIntent): Uint8Array {
  return encode([batch.sequence, batch.offsetEnd, batch.lines, batch.countIds, batch.deltas, batch.assignments]);
}

function unpackIntent(packed: unknown): ImportIntent {
  const [sequence, offsetEnd, lines, countIds, deltas, assignments] = packed as readonly [
    number,
    number,
    number,
    readonly string[],
    readonly number[],
    readonly (readonly [string, string])[],
  ];
  return { sequence, offsetEnd, lines, countIds, deltas, assignments };
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
  'sequence', sequence or '0', 'lines', '0', 'last', '', 'refused', ARGV[5])
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
redis.call('HSET', KEYS[1], 'sequence', ARGV[1], 'offset', ARGV[2], 'lines', total, 'last', intent_hash, 'refused', ARGV[4])
redis.call('HDEL', KEYS[1], 'intent', 'intent_hash')
if #ARGV > 4 then redis.call('RPUSH', KEYS[2], unpack(ARGV, 5)) end
return 1
`,
});
