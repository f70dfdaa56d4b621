import { Command, type Redis } from "ioredis";
import { defineScript } from "../../platform/redis/script.ts";
import { stateFormat } from "../shared/count-state.ts";
import { requestBuckets } from "../shared/key-schema.ts";
import { metaPlace, outboxEntryOverheadBytes, shardMetaLua } from "../shared/shard-meta.ts";
import { type EncodedBatch, tokenBytes } from "./write-batch.ts";

/**
 * Runs the script on a batch and returns its packed reply. Rejects as `mapRedisError` says; after that the script may have run.
 */
export type BatchRunner = (client: Redis, batch: EncodedBatch) => Promise<Buffer>;

/**
 * Makes a runner of the script, or of `lua` for tests that break a rule of it on purpose. It does what any script's `run` does,
 * with the call put together by itself: of all that a small batch costs its client, the driver's general way is a sixth.
 */
export function createBatchRunner(lua: string = writeBatchLua): BatchRunner {
  const script = defineScript<Buffer>({ name: "write-batch", keys: "any", lua });
  const sha = new Bun.CryptoHasher("sha1").update(lua).digest("hex");
  return async (client, batch) => {
    const command = new FramedCommand(frameOf(sha, batch));
    void client.sendCommand(command);
    try {
      return (await command.promise) as Buffer;
    } catch (error) {
      if (!(error instanceof Error) || !error.message.startsWith("NOSCRIPT")) throw error;
      return script.run(client, batch.keys.names, batch.args); // Nothing ran: the server is told the text.
    }
  };
}

/** An EVALSHA whose bytes are there already. */
class FramedCommand extends Command {
  readonly #frame: Buffer;

  constructor(frame: Buffer) {
    super("evalsha", [], { replyEncoding: null });
    this.#frame = frame;
  }

  override toWritable(): Buffer {
    return this.#frame;
  }
}

/** Most bytes of an argument's length with its line ends. */
const lengthBytesMax = 16;

/** The call in the Redis protocol: https://redis.io/docs/latest/develop/reference/protocol-spec/#arrays. */
function frameOf(sha: string, { keys, args }: EncodedBatch): Buffer {
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
