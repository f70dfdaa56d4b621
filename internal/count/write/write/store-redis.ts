import { MuinError } from "../../../platform/errors/muin-error.ts";
import { replyCode } from "../../../platform/redis/driver-errors.ts";
import { sendFrame } from "../../../platform/redis/framed-command.ts";
import type { RedisClient } from "../../../platform/redis/redis-store.ts";
import { defineScript } from "../../../platform/redis/script.ts";
import { stateFormat } from "../../shared/count-state.ts";
import { requestBuckets } from "../../shared/key-schema.ts";
import { replyFormat } from "../../shared/packed-writes.ts";
import { metaPlace, outboxEntryOverheadBytes, shardMetaLua } from "../../shared/shard-meta.ts";
import { callerFieldBytes, type EncodedBatch, headerFormat, digestBytes } from "./batch.ts";

/**
 * Runs the script on a batch and returns its packed reply. Rejects as `mapRedisError` says; after that the script may have run.
 *
 * It does what any script's `run` does, with the call put together by itself: of all that a small batch costs its client, the
 * driver's general way is a sixth.
 */
export async function runBatch(client: RedisClient, batch: EncodedBatch): Promise<Buffer> {
  try {
    return (await sendFrame(client, "evalsha", frameOf(batch))) as Buffer;
  } catch (error) {
    if (replyCode(error) !== "NOSCRIPT") throw error;
    return writeBatch.run(client, batch.keys.names, batch.args); // Nothing ran: the server is told the text.
  }
}

/** Replies of a server that will be able to work by itself. */
const passingCodes: ReadonlySet<string> = new Set(["LOADING", "BUSY", "TRYAGAIN"]);

/** True when the store may answer the same batch later: the connection was cut, or the server is not ready to work. */
export function isPassing(error: unknown): boolean {
  if (!(error instanceof MuinError) || error.reason !== "STORE_UNAVAILABLE") return false;
  // An error that the server itself replied with is final, except while it loads its data or is kept busy.
  const code = replyCode(error.cause);
  return code === undefined || passingCodes.has(code);
}

/** Most bytes of an argument's length with its line ends. */
const lengthBytesMax = 16;

/** The call in the Redis protocol: https://redis.io/docs/latest/develop/reference/protocol-spec/#arrays. */
function frameOf({ keys, args }: EncodedBatch): Buffer {
  const keyCount = keys.names.length.toString();
  const parts = 3 + keys.names.length + args.length;
  const head = `*${parts}\r\n$7\r\nevalsha\r\n$${sha.length}\r\n${sha}\r\n$${keyCount.length}\r\n${keyCount}\r\n`;
  let bytesMax = head.length + keys.bytes.length;
  for (const arg of args) bytesMax += arg.length + lengthBytesMax;
  const frame = Buffer.allocUnsafe(bytesMax);
  let end = frame.write(head, 0, "latin1");
  frame.set(keys.bytes, end);
  end += keys.bytes.length;
  for (const arg of args) {
    end += frame.write(`$${arg.length}\r\n`, end, "latin1");
    frame.set(arg, end);
    end += arg.length;
    end += frame.write("\r\n", end, "latin1");
  }
  return frame.subarray(0, end);
}

/** `struct` format of what a request id's first write was and was answered: kind, operand, value, revision, time. */
const requestFormat = "<Bdddd";

/**
 * The script. KEYS: states, outbox, meta, writer's memory, request buckets. ARGV: header, writes, digests, request ids, callers, as
 * `batch.ts` packs them.
 *
 * It first reads all it needs, from every key that it will write, and computes every result: what fails, fails before the
 * first write. Then it writes, by commands that cannot fail.
 *
 * An outbox entry holds what was asked ("w"), the request ids ("i"), the reply ("r") and the outbox bytes written up to its end ("p",
 * float64).
 *
 * A bucket of request ids also counts, per caller, how many of its ids are theirs, in a field shorter than a digest.
 *
 * The writer's memory is a hash: "m" holds float64 numbers: the highest sequence evicted, when its life was last extended and the
 * sequence in each slot; the fields "1", "2" ... hold the replies.
 *
 * Most of its time goes into Lua's tables and strings: it makes no table for what a local can hold, and lets `struct` take many
 * numbers apart at once. `unpack` of it returns, last, the place behind what it read.
 */
const lua = `
local call, unpack_struct, pack_struct, rep, byte = redis.call, struct.unpack, struct.pack, string.rep, string.byte
local META = KEYS[3]
local sequence, begin, slots, memory_ms, window, requests_max, caller_max, outbox_max = unpack_struct('${headerFormat}', ARGV[1])
${shardMetaLua}
-- The writer's memory: a batch that was done is answered, one that is too late is refused.
local memory = call('HGET', KEYS[4], 'm')
if memory then
  slots = #memory / 8 - 2
  memory = {unpack_struct('<' .. rep('d', slots + 2), memory)}
elseif begin == 1 then
  memory = {0, 0}
  for slot = 1, slots do memory[slot + 2] = 0 end
else return 'U' end
local slot = 1
for place = 1, slots do
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
  call('HSET', KEYS[4], 'm', pack_struct('<' .. rep('d', slots + 2), unpack(memory)), tostring(slot), reply)
  if extend then call('PEXPIRE', KEYS[4], memory_ms * 2) end
end

local asked = ARGV[2]
local count, distinct = unpack_struct('<HH', asked)
local at = 5 + count
local places
if distinct < count then
  places = {unpack_struct('<' .. rep('H', count), asked, at)}
  at = at + 2 * count
end
local operands = {unpack_struct('<' .. rep('d', count), asked, at)}
local ids = {unpack_struct(rep('Bc0', distinct), asked, at + 8 * count)}
local records = call('HMGET', KEYS[1], unpack(ids, 1, distinct))
call('XLEN', KEYS[2])

-- Request ids: buckets whose window has passed are dropped; a new one is opened after a quarter window.
local remembered, expired = 0, nil
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
local digest_count = #ARGV[3] / ${digestBytes}
local digests, found
-- The callers of the request ids: how many ids each has in all buckets and in the present one, and whose each digest is.
local caller_count, held, held_now, caller_of = 0, {}, {}, nil
if digest_count > 0 then
  caller_count = unpack_struct('<H', ARGV[5])
  digests, found = {unpack_struct(rep('c${digestBytes}', digest_count), ARGV[3])}, {}
  local fields = {unpack_struct(rep('c${callerFieldBytes}', caller_count), ARGV[5], 3)}
  if caller_count > 1 then
    caller_of = {unpack_struct('<' .. rep('H', digest_count), ARGV[5], 3 + ${callerFieldBytes} * caller_count)}
  end
  for place = 1, caller_count do
    digests[digest_count + place] = fields[place]
    held[place], held_now[place] = 0, 0
  end
  for bucket = 1, ${requestBuckets} do
    if meta[${metaPlace.buckets} + 2 * bucket - 1] > 0 then
      local replies = call('HMGET', KEYS[4 + bucket], unpack(digests, 1, digest_count + caller_count))
      for place = 1, digest_count do
        if replies[place] then found[digests[place]] = replies[place] end
      end
      for place = 1, caller_count do
        local own = tonumber(replies[digest_count + place] or 0)
        held[place] = held[place] + own
        if bucket == meta[${metaPlace.bucket}] then held_now[place] = own end
      end
    end
  end
end

-- Each write, in order.
local codes, befores, times
-- Value and revision of each write; fields and records to be stored, and where a Count's record stands among them; digests and replies.
local numbers, stored, stored_at, requests = {}, {}, places and {}, {}
local stored_count, request_count, next_digest = 0, 0, 0
for write = 1, count do
  local place = places and places[write] or write
  local kind, operand = byte(asked, 4 + write), operands[write]
  local digest, first, caller
  if kind < 97 then
    kind = kind + 32
    next_digest = next_digest + 1
    digest = digests[next_digest]
    caller = caller_of and caller_of[next_digest] or 1
    first = found[digest]
  end
  local code, value, revision = 0, 0, 0
  local record = records[place]
  if first then
    local first_kind, first_operand, first_value, first_revision, time = unpack_struct('${requestFormat}', first)
    if first_kind == kind and first_operand == operand then
      code, value, revision = 1, first_value, first_revision
      if not times then times = {} end
      times[#times + 1] = time
    else
      code = 5
    end
  elseif not record then
    code = 2
  else
    local state, before, last, _, low, high, info = unpack_struct('${stateFormat}', record)
    local after = kind == 97 and before + operand or operand
    if state ~= 1 then
      code = state == 2 and 3 or 2
    elseif after < low or after > high then
      code, value, revision = 4, before, after < low and low or high
    elseif digest and remembered >= requests_max then
      code = 6
    elseif digest and held[caller] >= caller_max then
      code = 7
    else
      value, revision = after, last + 1
      record = pack_struct('${stateFormat}', 1, value, revision, now, low, high, info)
      local field = places and stored_at[place]
      if not field then
        field = stored_count + 1
        stored_count = field + 1
        stored[field] = ids[place]
        if places then stored_at[place] = field end
      end
      stored[field + 1] = record
      if places then records[place] = record end
      if kind ~= 97 then
        if not befores then befores = {} end
        befores[#befores + 1] = before
      end
      if digest then
        local reply = pack_struct('${requestFormat}', kind, operand, value, revision, now)
        found[digest] = reply
        requests[request_count + 1] = digest
        requests[request_count + 2] = reply
        request_count = request_count + 2
        remembered = remembered + 1
        held[caller], held_now[caller] = held[caller] + 1, held_now[caller] + 1
      end
    end
  end
  numbers[2 * write - 1] = value
  numbers[2 * write] = revision
  if code ~= 0 and not codes then
    codes = {}
    for earlier = 1, write - 1 do codes[earlier] = 0 end
  end
  if codes then codes[write] = code end
end
local number_count = 2 * count
for place = 1, befores and #befores or 0 do numbers[number_count + place] = befores[place] end
number_count = number_count + (befores and #befores or 0)
for place = 1, times and #times or 0 do numbers[number_count + place] = times[place] end
number_count = number_count + (times and #times or 0)
local reply = pack_struct('${replyFormat}' .. rep('d', number_count),
  now, codes and count or 0, befores and #befores or 0, times and #times or 0, codes and table.concat(codes) or '', unpack(numbers, 1, number_count))
if stored_count > 0 then
  local size = #asked + #ARGV[4] + #reply + ${outboxEntryOverheadBytes}
  if meta[${metaPlace.written}] - meta[${metaPlace.trimmed}] + size > outbox_max then
    -- Remembered, so that a copy delayed on the way is not applied after its callers were told that nothing was.
    if memory_ms > 0 then remember('F') end
    return 'F'
  end
  meta[${metaPlace.written}] = meta[${metaPlace.written}] + size
end
local bucket = meta[${metaPlace.bucket}]
if request_count > 0 then
  local place = ${metaPlace.buckets} + 2 * (bucket - 1)
  if meta[place + 1] == 0 then call('HLEN', KEYS[4 + bucket]) end
  meta[place] = now
  meta[place + 1] = meta[place + 1] + request_count / 2
  for caller = 1, caller_count do
    requests[request_count + 1] = digests[digest_count + caller]
    requests[request_count + 2] = held_now[caller]
    request_count = request_count + 2
  end
end

-- From here on: writes only.
if expired then call('UNLINK', unpack(expired)) end
if stored_count > 0 then
  call('HSET', KEYS[1], unpack(stored))
  call('XADD', KEYS[2], '*', 'w', asked, 'i', ARGV[4], 'r', reply, 'p', pack_struct('<d', meta[${metaPlace.written}]))
end
if request_count > 0 then call('HSET', KEYS[4 + bucket], unpack(requests)) end
remember(reply)
save_meta()
return reply
`;

const writeBatch = defineScript<Buffer>({ name: "write-batch", keys: "any", lua });
const sha = new Bun.CryptoHasher("sha1").update(lua).digest("hex");
