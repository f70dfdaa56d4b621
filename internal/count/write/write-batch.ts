import { decode, Encoder } from "@msgpack/msgpack";
import { stateFormat } from "../shared/count-state.ts";
import { keysOf, requestBuckets } from "../shared/key-schema.ts";
import { metaPlace, outboxEntryOverheadBytes, shardMetaLua } from "../shared/shard-meta.ts";

/** Most writes that one call of the script takes. */
export const batchWritesMax = 512;

/** Bytes of a request token. */
export const tokenBytes = 16;

/** A write as the script takes it. */
export interface CountWrite {
  readonly countId: string;
  /** "a": add `operand`, negative to subtract. "s": set to `operand`. */
  readonly kind: "a" | "s";
  /** Within +-(2^53 - 1). */
  readonly operand: number;
  /** Printable ASCII; makes the write safe to repeat, and goes into its change event. Empty without one. */
  readonly requestId: string;
  /** Who writes: a request id is one caller's own. Needed with a request id only. */
  readonly principal: string;
}

/** A write that was applied, now or before under the same request id. */
export interface AppliedWrite {
  readonly outcome: "applied" | "replayed";
  readonly value: number;
  readonly revision: number;
  /** When it was applied, in milliseconds since the Unix epoch by the shard's clock. */
  readonly timeMs: number;
}

/** A write that was refused and changed nothing. */
export type RefusedWrite =
  | { readonly outcome: "not_found" | "deleted" | "request_id_reused" | "request_ids_full" }
  /** `value` is the present one, `bound` what it would have passed. */
  | { readonly outcome: "out_of_range"; readonly value: number; readonly bound: number };

/** What came of one write. */
export type WriteOutcome = AppliedWrite | RefusedWrite;

/** Whether a write was applied. */
export function isApplied(outcome: WriteOutcome): outcome is AppliedWrite {
  return outcome.outcome === "applied" || outcome.outcome === "replayed";
}

/** What came of a whole batch: the outcome of each write, or why nothing of it was done. */
export type BatchReply =
  | { readonly kind: "done"; readonly outcomes: readonly WriteOutcome[] }
  /** The outbox is full. A memory for ever does not remember this, and the same batch may be sent again. */
  | { readonly kind: "outbox_full" }
  /** The store does not know the writer, or has forgotten it. */
  | { readonly kind: "unknown_writer" }
  /** A sequence that lies behind what the writer's memory holds. */
  | { readonly kind: "evicted" };

/** How a batch is bound to its writer, and the limits it is held to. */
export interface BatchHeader {
  /** Grows by one with each batch of the writer on the shard, from 1. */
  readonly sequence: number;
  /** Begin the writer's memory when there is none; else such a batch is refused as of an unknown writer. */
  readonly begin: boolean;
  /** Replies remembered: as many as the writer may have in flight. */
  readonly slots: number;
  /** Life of the memory after its last use in milliseconds; 0 for ever. */
  readonly memoryMs: number;
  /** How long a request id is remembered at least, in milliseconds. */
  readonly requestWindowMs: number;
  /** Most request ids remembered on the shard. */
  readonly requestIdsMax: number;
  /** Most bytes in the outbox of the shard. */
  readonly outboxBytesMax: number;
}

/** A batch ready to be sent, as often as needed. */
export interface EncodedBatch {
  readonly keys: readonly string[];
  readonly args: readonly Buffer[];
}

/** The writes of a batch, packed. */
export interface EncodedWrites {
  /** MessagePack: distinct ids, index of each write's id (empty: one each, in order), kinds ("A", "S" with a request id), operands. */
  readonly writes: Buffer;
  /** The tokens of the writes that have a request id, one after the other. */
  readonly tokens: Buffer;
  /** The request ids of all writes, only for the outbox; empty when none has one. */
  readonly requestIds: Buffer;
}

/** Ends each request id, which is printable. */
const requestIdSeparator = "\n";
const encoder = new Encoder();
const nothing = Buffer.alloc(0);
const digest = new Uint8Array(32);
const digestToken = new Uint32Array(digest.buffer, 0, tokenBytes / 4);
const tokenWords = new Uint32Array(batchWritesMax * digestToken.length);
const tokenBuffer = Buffer.from(tokenWords.buffer);

/** Packs the writes of a batch: at least one, at most `batchWritesMax`, all of one shard. */
export function encodeWrites(writes: readonly CountWrite[]): EncodedWrites {
  const places = new Map<string, number>();
  const index: number[] = [];
  const operands: number[] = [];
  let kinds = "";
  let requestIds = "";
  let tokens = 0;
  for (const { countId, kind, operand, requestId, principal } of writes) {
    let place = places.get(countId);
    if (place === undefined) places.set(countId, (place = places.size + 1));
    index.push(place);
    operands.push(operand);
    if (requestId === "") {
      kinds += kind;
    } else {
      kinds += kind === "a" ? "A" : "S";
      // What makes a repeated write the same write. SHA-256: its collisions are out of anybody's reach, and 16 bytes of it are
      // short in the store. None of the three texts contains a zero byte.
      Bun.SHA256.hash(`${principal}\0${countId}\0${requestId}`, digest);
      tokenWords.set(digestToken, tokens * digestToken.length);
      tokens += 1;
    }
    requestIds += requestId;
    requestIds += requestIdSeparator;
  }
  return {
    writes: Buffer.from(
      encoder.encodeSharedRef([[...places.keys()], places.size === writes.length ? [] : index, kinds, operands]),
    ),
    tokens: Buffer.from(tokenBuffer.subarray(0, tokens * tokenBytes)),
    requestIds: tokens === 0 ? nothing : Buffer.from(requestIds, "latin1"),
  };
}

/** The keys that the script takes for a writer on a shard. */
export function batchKeys(shard: number, writerId: string): readonly string[] {
  const keys = keysOf(shard);
  return [keys.states, keys.outbox, keys.meta, keys.writer(writerId), ...keys.requests];
}

/** Puts writes and header together. */
export function encodeBatch(
  keys: readonly string[],
  header: BatchHeader,
  { writes, tokens, requestIds }: EncodedWrites,
): EncodedBatch {
  return {
    keys,
    args: [
      Buffer.from(
        encoder.encodeSharedRef([
          header.sequence,
          header.begin,
          header.slots,
          header.memoryMs,
          header.requestWindowMs,
          header.requestIdsMax,
          header.outboxBytesMax,
        ]),
      ),
      writes,
      tokens,
      requestIds,
    ],
  };
}

/** The packed reply: time, codes (empty: all applied), values, revisions, [place, value before] of sets, [place, time] of replays. */
type PackedReply = readonly [
  number,
  string,
  readonly number[],
  readonly number[],
  readonly number[],
  readonly number[],
];

/** Reads a reply of the script to a batch of `count` writes. */
export function decodeReply(reply: Buffer, count: number): BatchReply {
  if (reply.length === 1) {
    const word = reply.toString("latin1");
    if (word === "F") return { kind: "outbox_full" };
    if (word === "U") return { kind: "unknown_writer" };
    if (word === "E") return { kind: "evicted" };
  }
  const [timeMs, codes, values, revisions, , replays] = decode(reply) as PackedReply;
  const outcomes: WriteOutcome[] = [];
  let nextReplay = 0;
  for (let place = 0; place < count; place += 1) {
    const value = values[place] ?? 0;
    const revision = revisions[place] ?? 0;
    switch (codes[place]) {
      case undefined:
      case "0":
        outcomes.push({ outcome: "applied", value, revision, timeMs });
        break;
      case "1":
        outcomes.push({ outcome: "replayed", value, revision, timeMs: replays[nextReplay + 1] ?? 0 });
        nextReplay += 2;
        break;
      case "2":
        outcomes.push({ outcome: "not_found" });
        break;
      case "3":
        outcomes.push({ outcome: "deleted" });
        break;
      case "4":
        outcomes.push({ outcome: "out_of_range", value, bound: revision });
        break;
      case "5":
        outcomes.push({ outcome: "request_id_reused" });
        break;
      case "6":
        outcomes.push({ outcome: "request_ids_full" });
        break;
      default:
        throw new Error(`a reply of the counts store has the code ${codes[place]}`);
    }
  }
  return { kind: "done", outcomes };
}

/** One applied write, as an outbox entry holds it. */
export interface OutboxChange {
  readonly countId: string;
  /** By how much the value changed; up to +-(2^54 - 2), hence not a number. */
  readonly delta: bigint;
  readonly value: number;
  readonly revision: number;
  readonly requestId: string;
}

/** Reads the packed fields of an outbox entry: what was asked, the request ids, and the reply. */
export function decodeOutboxEntry(
  asked: Buffer,
  requested: Buffer,
  reply: Buffer,
): { readonly timeMs: number; readonly changes: readonly OutboxChange[] } {
  const [ids, index, kinds, operands] = decode(asked) as readonly [
    readonly string[],
    readonly number[],
    string,
    readonly number[],
  ];
  const requestIds = requested.toString("latin1").split(requestIdSeparator);
  const [timeMs, codes, values, revisions, sets] = decode(reply) as PackedReply;
  const changes: OutboxChange[] = [];
  let nextSet = 0;
  for (let place = 0; place < kinds.length; place += 1) {
    if (codes !== "" && codes[place] !== "0") continue;
    const value = values[place] as number;
    let delta = 0n;
    if (kinds[place] === "a" || kinds[place] === "A") {
      delta = BigInt(operands[place] as number);
    } else {
      delta = BigInt(value) - BigInt(sets[nextSet + 1] as number);
      nextSet += 2;
    }
    changes.push({
      countId: ids[index.length === 0 ? place : (index[place] as number) - 1] as string,
      delta,
      value,
      revision: revisions[place] as number,
      requestId: requestIds[place] ?? "",
    });
  }
  return { timeMs, changes };
}

/**
 * The script. KEYS: states, outbox, meta, writer's memory, request buckets. ARGV: header, writes, tokens, request ids (all packed above).
 *
 * It first reads all it needs, from every key that it will write, and computes every result: what fails, fails before the
 * first write. Then it writes, by commands that cannot fail.
 *
 * An outbox entry holds what was asked ("w"), the request ids ("i"), the reply ("r") and the outbox bytes written up to its end ("p").
 *
 * The writer's memory is a hash: "m" packs the highest sequence evicted, when its life was last extended and the sequence in
 * each slot; the fields "1", "2" ... hold the replies.
 */
export const writeBatchLua = `
local call, unpack_struct, pack_struct = redis.call, struct.unpack, struct.pack
local META = KEYS[3]
local sequence, begin, slots, memory_ms, window, requests_max, outbox_max = unpack(cmsgpack.unpack(ARGV[1]))
${shardMetaLua}
-- The writer's memory: a batch that was done is answered, one that is too late is refused.
local memory = call('HGET', KEYS[4], 'm')
if memory then memory = {cmsgpack.unpack(memory)}
elseif begin then
  memory = {0, 0}
  for slot = 1, slots do memory[slot + 2] = 0 end
else return 'U' end
local slot = 1
for place = 1, #memory - 2 do
  if memory[place + 2] == sequence then return call('HGET', KEYS[4], tostring(place)) end
  if memory[place + 2] < memory[slot + 2] then slot = place end
end
-- Below all that is remembered is too late as well: taking it in would push out a reply that may still be asked for.
if sequence <= memory[1] or sequence < memory[slot + 2] then return 'E' end
local extend = memory_ms > 0 and now - memory[2] >= memory_ms / 4
local function remember(reply)
  if memory[slot + 2] > memory[1] then memory[1] = memory[slot + 2] end
  memory[slot + 2] = sequence
  if extend then memory[2] = now end
  call('HSET', KEYS[4], 'm', cmsgpack.pack(unpack(memory)), tostring(slot), reply)
  if extend then call('PEXPIRE', KEYS[4], memory_ms * 2) end
end

local asked = cmsgpack.unpack(ARGV[2])
local ids, index, kinds, operands = asked[1], asked[2], asked[3], asked[4]
local in_order = #index == 0
local count = #kinds
local records = call('HMGET', KEYS[1], unpack(ids))
call('XLEN', KEYS[2])
local states, values, revisions, lows, highs, infos, changed = {}, {}, {}, {}, {}, {}, {}
for place = 1, #ids do
  local record = records[place]
  if record then
    local _
    states[place], values[place], revisions[place], _, lows[place], highs[place], infos[place] =
      unpack_struct('${stateFormat}', record)
  end
end

-- Request ids: buckets whose window has passed are dropped; a new one is opened after a quarter window.
local tokens, found, remembered, expired = nil, nil, 0, nil
for bucket = 1, ${requestBuckets} do
  local place = ${metaPlace.buckets} + 2 * (bucket - 1)
  if meta[place + 1] > 0 then
    if meta[place] + window <= now then
      if not expired then expired = {} end
      expired[#expired + 1] = KEYS[4 + bucket]
      meta[place + 1] = 0
    else remembered = remembered + meta[place + 1] end
  end
end
if now >= meta[${metaPlace.opened}] + window / 4 then
  local following = meta[${metaPlace.bucket}] % ${requestBuckets} + 1
  if meta[${metaPlace.buckets} + 2 * following - 1] == 0 then
    meta[${metaPlace.bucket}] = following
    meta[${metaPlace.opened}] = now
  end
end
local token_count = #ARGV[3] / ${tokenBytes}
if token_count > 0 then
  tokens, found = {}, {}
  for place = 1, token_count do
    tokens[place] = ARGV[3]:sub((place - 1) * ${tokenBytes} + 1, place * ${tokenBytes})
  end
  for bucket = 1, ${requestBuckets} do
    if meta[${metaPlace.buckets} + 2 * bucket - 1] > 0 then
      local replies = call('HMGET', KEYS[4 + bucket], unpack(tokens))
      for place = 1, token_count do
        if replies[place] then found[tokens[place]] = replies[place] end
      end
    end
  end
end

-- Each write, in order.
local result_codes, result_values, result_revisions, sets, replays = nil, {}, {}, {}, {}
local requests, applied, dirty, next_token = {}, 0, {}, 0
for place = 1, count do
  local at = in_order and place or index[place]
  local kind, operand = kinds:byte(place), operands[place]
  local token, first
  if kind < 97 then
    kind = kind + 32
    next_token = next_token + 1
    token = tokens[next_token]
    first = found[token]
  end
  local code = 0
  if first then
    local first_kind, first_operand, value, revision, time = cmsgpack.unpack(first)
    if first_kind == kind and first_operand == operand then
      code = 1
      result_values[place], result_revisions[place] = value, revision
      replays[#replays + 1] = place
      replays[#replays + 1] = time
    else
      code = 5
      result_values[place], result_revisions[place] = 0, 0
    end
  elseif states[at] ~= 1 then
    code = states[at] == 2 and 3 or 2
    result_values[place], result_revisions[place] = 0, 0
  else
    local before = values[at]
    local value = kind == 97 and before + operand or operand
    if value < lows[at] or value > highs[at] then
      code = 4
      result_values[place], result_revisions[place] = before, value < lows[at] and lows[at] or highs[at]
    elseif token and remembered >= requests_max then
      code = 6
      result_values[place], result_revisions[place] = 0, 0
    else
      local revision = revisions[at] + 1
      values[at], revisions[at] = value, revision
      if not changed[at] then
        changed[at] = true
        dirty[#dirty + 1] = at
      end
      applied = applied + 1
      result_values[place], result_revisions[place] = value, revision
      if kind ~= 97 then
        sets[#sets + 1] = place
        sets[#sets + 1] = before
      end
      if token then
        local reply = cmsgpack.pack(kind, operand, value, revision, now)
        found[token] = reply
        requests[#requests + 1] = token
        requests[#requests + 1] = reply
        remembered = remembered + 1
      end
    end
  end
  if code ~= 0 and not result_codes then
    result_codes = {}
    for earlier = 1, place - 1 do result_codes[earlier] = 0 end
  end
  if result_codes then result_codes[place] = code end
end
local reply = cmsgpack.pack({now, result_codes and table.concat(result_codes) or '', result_values, result_revisions, sets, replays})
if applied > 0 then
  local size = #ARGV[2] + #ARGV[4] + #reply + ${outboxEntryOverheadBytes}
  if meta[${metaPlace.written}] - meta[${metaPlace.trimmed}] + size > outbox_max then
    -- Remembered, so that a copy delayed on the way is not applied after its callers were told that nothing was.
    if memory_ms > 0 then remember('F') end
    return 'F'
  end
  meta[${metaPlace.written}] = meta[${metaPlace.written}] + size
end
local bucket = meta[${metaPlace.bucket}]
if #requests > 0 then
  local place = ${metaPlace.buckets} + 2 * (bucket - 1)
  meta[place] = now
  meta[place + 1] = meta[place + 1] + #requests / 2
  call('HLEN', KEYS[4 + bucket])
end
local packed = {}
for place = 1, #dirty do
  local at = dirty[place]
  packed[2 * place - 1] = ids[at]
  packed[2 * place] = pack_struct('${stateFormat}', 1, values[at], revisions[at], now, lows[at], highs[at], infos[at])
end

-- From here on: writes only.
if expired then call('UNLINK', unpack(expired)) end
if applied > 0 then
  call('HSET', KEYS[1], unpack(packed))
  call('XADD', KEYS[2], '*', 'w', ARGV[2], 'i', ARGV[4], 'r', reply, 'p', string.format('%.0f', meta[${metaPlace.written}]))
end
if #requests > 0 then call('HSET', KEYS[4 + bucket], unpack(requests)) end
remember(reply)
save_meta()
return reply
`;
