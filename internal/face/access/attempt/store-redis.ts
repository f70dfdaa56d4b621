import type { RedisStore } from "../../../platform/redis/redis-store.ts";
import { defineScript } from "../../../platform/redis/script.ts";
import { deviceKeys, insideKey, passKey, traceKey } from "../face-store/keys.ts";
import {
  embeddingKeptMs,
  minuteMs,
  nonceKeptMs,
  pendingMsMax,
  type AttemptLimits,
  type AttemptStore,
  type Begun,
} from "./store.ts";

/**
 * Attempts in the face Redis, shared by all processes. A nonce's field holds "P", the fingerprint, the entry's id and when it was begun, or
 * "S", the fingerprint and the entry. Time is that of the server; an instant that lies ahead of it, since its clock was put back, counts as now.
 */
export function createRedisAttempts({ client }: Pick<RedisStore, "client">, limits: AttemptLimits): AttemptStore {
  return {
    begin: async ({ deviceId, nonce, fingerprint, embedding, isGuess, entryId }) => {
      const keys = deviceKeys(deviceId);
      const { nonces, embeddings, lock, denials, pending } = keys;
      const reply = await begin.run(
        client,
        [nonces, embeddings, lock, denials, pending],
        [
          nonce,
          fingerprint,
          embedding ?? "",
          entryId,
          isGuess ? 1 : 0,
          limits.attemptsPerMinuteMax,
          limits.embeddingsPerDeviceMax,
          limits.denialsMax,
          limits.denialsWindowMs,
          limits.lockoutMs,
        ],
      );
      return begunOf(reply);
    },

    settle: async ({ deviceId, nonce, fingerprint, entryId }, settlement) => {
      const { entry, isDenial, branchId, memberId, moves, unlessFull, pass } = settlement;
      const { nonces, lock, denials, pending } = deviceKeys(deviceId);
      return settle.run(
        client,
        [nonces, lock, denials, pending, insideKey(branchId), traceKey(memberId), passKey(pass?.passId ?? "")],
        [
          nonce,
          fingerprint,
          entryId,
          entry,
          isDenial ? 1 : 0,
          memberId,
          moves ?? "",
          unlessFull?.capacityMax ?? -1,
          unlessFull?.entry ?? "",
          limits.denialsMax,
          limits.denialsWindowMs,
          limits.lockoutMs,
          limits.stayMs,
          pass?.keptMs ?? 0,
          pass?.entryIfUsed ?? "",
        ],
      );
    },

    abandon: async ({ deviceId, nonce, embedding, entryId }) => {
      const { nonces, embeddings, pending } = deviceKeys(deviceId);
      await abandon.run(client, [nonces, embeddings, pending], [nonce, embedding ?? "", entryId]);
    },

    forget: async (memberId) => {
      const trace = traceKey(memberId);
      // What comes meanwhile leaves a trace again: until there is none.
      for (let traces = await client.smembers(trace); traces.length > 0; traces = await client.smembers(trace)) {
        const pipeline = client.pipeline();
        for (const text of traces) {
          const end = text.indexOf("\n");
          const key = text.slice(1, end);
          if (text.startsWith("i")) pipeline.zrem(key, memberId);
          else pipeline.hdel(key, text.slice(end + 1));
        }
        pipeline.srem(trace, ...traces);
        for (const [error] of (await pipeline.exec()) ?? []) if (error !== null) throw error;
      }
    },
  };
}

/** The length of a fingerprint and of an id, in the fields of nonces. */
const [fingerprintBytes, idBytes] = [32, 36];
export const entryFrom = 2 + fingerprintBytes;
const claimFrom = entryFrom + idBytes;

/** The present time of the server. */
export const nowLua = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local KEPT, FOREVER = ${nonceKeptMs}, '+inf'
`;

/** KEYS: nonces, embeddings, lock, denials, pending. All is read and judged before the first write. */
const begin = defineScript<[Buffer, (Buffer | number)?]>({
  name: "begin an attempt",
  keys: 5,
  lua: `${nowLua}
local nonce, fingerprint, embedding, id, guess = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5] == '1'
local per_minute, embeddings_max, denials_max = tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8])
local window, lockout = tonumber(ARGV[9]), tonumber(ARGV[10])
local lock = redis.call('HMGET', KEYS[3], 'until', 'minute', 'attempts')
local till = tonumber(lock[1] or '0')
if guess and till > now then return {'L', math.min(till - now, lockout)} end
local known = redis.call('HGET', KEYS[1], nonce)
if known then
  if string.sub(known, 2, ${entryFrom - 1}) ~= fingerprint then return {'R'} end
  if string.sub(known, 1, 1) == 'S' then return {'S', string.sub(known, ${entryFrom})} end
  local begun = tonumber(string.sub(known, ${claimFrom}))
  if begun <= now and now - begun < ${pendingMsMax} then return {'U'} end
  id = string.sub(known, ${entryFrom}, ${claimFrom - 1})
else
  if embedding ~= '' then
    local other = redis.call('HGET', KEYS[2], embedding)
    if other then return {other == nonce and 'R' or 'E'} end
    if redis.call('HLEN', KEYS[2]) >= embeddings_max then return {'M'} end
  end
end
local minute = math.floor(now / ${minuteMs})
local attempts = tonumber(lock[2] or '-1') == minute and tonumber(lock[3] or '0') or 0
if attempts >= per_minute then return {'T'} end
if guess then
  local denied = redis.call('ZCOUNT', KEYS[4], now - window, FOREVER)
  local pending = redis.call('ZCOUNT', KEYS[5], now - ${pendingMsMax}, FOREVER)
  if denied + pending >= denials_max then return {'B'} end
end
redis.call('HSET', KEYS[3], 'minute', minute, 'attempts', attempts + 1)
redis.call('PEXPIRE', KEYS[3], math.max(lockout, ${2 * minuteMs}))
redis.call('HSET', KEYS[1], nonce, 'P' .. fingerprint .. id .. now)
redis.call('HPEXPIRE', KEYS[1], KEPT, 'FIELDS', 1, nonce)
if embedding ~= '' then
  redis.call('HSET', KEYS[2], embedding, nonce)
  redis.call('HPEXPIRE', KEYS[2], ${embeddingKeptMs}, 'FIELDS', 1, embedding)
end
if guess then
  redis.call('ZREMRANGEBYSCORE', KEYS[5], '-inf', now - ${pendingMsMax})
  redis.call('ZADD', KEYS[5], now, id)
  redis.call('PEXPIRE', KEYS[5], ${2 * pendingMsMax})
end
return {'F', id}`,
});

/** KEYS: nonces, lock, denials, pending, who is inside, the person's traces, the pass. */
const settle = defineScript<Buffer>({
  name: "settle an attempt",
  keys: 7,
  lua: `${nowLua}
local nonce, fingerprint, id, entry, denial = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5] == '1'
local member, to, capacity, full_entry = ARGV[6], ARGV[7], tonumber(ARGV[8]), ARGV[9]
local denials_max, window, lockout, stay = tonumber(ARGV[10]), tonumber(ARGV[11]), tonumber(ARGV[12]), tonumber(ARGV[13])
local pass_kept, used_entry = tonumber(ARGV[14]), ARGV[15]
local known = redis.call('HGET', KEYS[1], nonce)
if known and string.sub(known, 1, 1) == 'S' then
  redis.call('ZREM', KEYS[4], id)
  return string.sub(known, ${entryFrom})
end
if pass_kept > 0 and redis.call('EXISTS', KEYS[7]) == 1 then
  entry, denial, to, member, capacity = used_entry, true, '', '', -1
end
if capacity >= 0 then
  local inside = redis.call('ZCOUNT', KEYS[5], now - stay + 1, FOREVER)
  local since = redis.call('ZSCORE', KEYS[5], member)
  if since and tonumber(since) > now - stay then inside = inside - 1 end
  if inside >= capacity then entry, denial, to = full_entry, false, '' end
end
local denied = denial and redis.call('ZCOUNT', KEYS[3], now - window, FOREVER) + 1 or 0
redis.call('HSET', KEYS[1], nonce, 'S' .. fingerprint .. entry)
redis.call('HPEXPIRE', KEYS[1], KEPT, 'FIELDS', 1, nonce)
redis.call('ZREM', KEYS[4], id)
if member ~= '' then
  redis.call('SADD', KEYS[6], 'a' .. KEYS[1] .. '\\n' .. nonce, 'i' .. KEYS[5] .. '\\n')
  redis.call('PEXPIRE', KEYS[6], math.max(stay, KEPT))
end
if to == 'in' then
  if pass_kept > 0 then redis.call('SET', KEYS[7], '', 'PX', pass_kept) end
  redis.call('ZREMRANGEBYSCORE', KEYS[5], '-inf', now - stay)
  redis.call('ZADD', KEYS[5], now, member)
  redis.call('PEXPIRE', KEYS[5], stay)
elseif to == 'out' then
  redis.call('ZREM', KEYS[5], member)
end
if denial then
  if denied >= denials_max then
    redis.call('UNLINK', KEYS[3])
    redis.call('HSET', KEYS[2], 'until', now + lockout)
    redis.call('PEXPIRE', KEYS[2], math.max(lockout, ${2 * minuteMs}))
  else
    redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', now - window)
    redis.call('ZADD', KEYS[3], now, id)
    redis.call('PEXPIRE', KEYS[3], window)
  end
end
return entry`,
});

/** KEYS: nonces, embeddings, pending. */
const abandon = defineScript<null>({
  name: "abandon an attempt",
  keys: 3,
  lua: `
local nonce, embedding, id = ARGV[1], ARGV[2], ARGV[3]
local known = redis.call('HGET', KEYS[1], nonce)
if not known or string.sub(known, 1, 1) ~= 'P' or string.sub(known, ${entryFrom}, ${claimFrom - 1}) ~= id then return end
redis.call('HDEL', KEYS[1], nonce)
if embedding ~= '' then redis.call('HDEL', KEYS[2], embedding) end
redis.call('ZREM', KEYS[3], id)`,
});

function begunOf([code, value]: readonly [Buffer, (Buffer | number)?]): Begun {
  switch (code.toString()) {
    case "F":
      return { kind: "first", entryId: String(value) };
    case "S":
      return { kind: "repeated", entry: value as Buffer };
    case "U":
      return { kind: "under_way" };
    case "R":
      return { kind: "nonce_reused" };
    case "E":
      return { kind: "embedding_replayed" };
    case "L":
      return { kind: "locked_out", forMs: value as number };
    case "B":
      return { kind: "busy" };
    case "T":
      return { kind: "too_many" };
    case "M":
      return { kind: "embeddings_full" };
    default:
      throw new Error("the script of attempts answered what it never does");
  }
}
