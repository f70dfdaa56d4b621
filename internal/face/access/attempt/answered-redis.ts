import type { RedisStore } from "../../../platform/redis/redis-store.ts";
import { defineScript } from "../../../platform/redis/script.ts";
import { deviceKeys, insideKey, memberKey, passKey, traceKey } from "../face-store/keys.ts";
import { entryFrom, nowLua } from "./store-redis.ts";
import { embeddingKeptMs, minuteMs, type AnsweredStore, type AttemptLimits } from "./store.ts";

/** Answers that were given without the face Redis, told to it in the form of `createRedisAttempts`. */
export function createRedisAnswered({ client }: Pick<RedisStore, "client">, limits: AttemptLimits): AnsweredStore {
  return {
    tell: async ({ attempt, entry, isDenial, branchId, memberId, moves, usedPass }, agoMs) => {
      const { nonces, embeddings, lock, denials, pending } = deviceKeys(attempt.deviceId);
      const person = memberKey(memberId);
      await tell.run(
        client,
        [
          nonces,
          embeddings,
          lock,
          denials,
          pending,
          insideKey(branchId),
          traceKey(memberId),
          passKey(usedPass?.passId ?? ""),
          person,
        ],
        [
          attempt.nonce,
          attempt.fingerprint,
          attempt.embedding ?? "",
          attempt.entryId,
          entry,
          isDenial ? 1 : 0,
          memberId,
          moves ?? "",
          Math.ceil(usedPass?.keptMs ?? 0),
          Math.max(0, Math.floor(agoMs)),
          limits.embeddingsPerDeviceMax,
          limits.denialsMax,
          limits.denialsWindowMs,
          limits.lockoutMs,
          limits.stayMs,
        ],
      );
    },
  };
}

/**
 * KEYS: nonces, embeddings, lock, denials, pending, who is inside, the person's traces, the pass, the person. A nonce that was settled under another entry
 * keeps what it has. All is read before the first write.
 */
const tell = defineScript<null>({
  name: "tell what was answered",
  keys: 9,
  lua: `${nowLua}
local nonce, fingerprint, embedding, id, entry, denial = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6] == '1'
local member, to, pass_kept, ago = ARGV[7], ARGV[8], tonumber(ARGV[9]), tonumber(ARGV[10])
local embeddings_max, denials_max = tonumber(ARGV[11]), tonumber(ARGV[12])
local window, lockout, stay = tonumber(ARGV[13]), tonumber(ARGV[14]), tonumber(ARGV[15])
local at = now - ago
local is_erased = member ~= '' and string.sub(redis.call('GET', KEYS[9]) or '', 1, 8) == 'DELETED|'
local known = redis.call('HGET', KEYS[1], nonce)
local settled = 'S' .. fingerprint .. entry
local is_told = known == settled
local is_others = known and not is_told and (string.sub(known, 2, ${entryFrom - 1}) ~= fingerprint
  or string.sub(known, 1, 1) == 'S' and not string.find(known, id, ${entryFrom}, true))
local is_seen = embedding ~= '' and ago < ${embeddingKeptMs} and redis.call('HLEN', KEYS[2]) < embeddings_max
local since = tonumber(redis.call('ZSCORE', KEYS[6], member) or '-1')
local denied = 0
if denial and not is_told and at > now - window then
  denied = redis.call('ZCOUNT', KEYS[4], now - window, FOREVER)
  if not redis.call('ZSCORE', KEYS[4], id) then denied = denied + 1 end
end
if pass_kept > ago then redis.call('SET', KEYS[8], '', 'PX', pass_kept - ago) end
redis.call('ZREM', KEYS[5], id)
if is_seen then
  redis.call('HSETNX', KEYS[2], embedding, nonce)
  redis.call('HPEXPIRE', KEYS[2], ${embeddingKeptMs} - ago, 'FIELDS', 1, embedding)
end
if not is_erased then
  if not is_others and ago < KEPT then
    redis.call('HSET', KEYS[1], nonce, settled)
    redis.call('HPEXPIRE', KEYS[1], KEPT - ago, 'FIELDS', 1, nonce)
  end
  if member ~= '' then
    redis.call('SADD', KEYS[7], 'a' .. KEYS[1] .. '\\n' .. nonce, 'i' .. KEYS[6] .. '\\n')
    redis.call('PEXPIRE', KEYS[7], math.max(stay, KEPT))
  end
  if to == 'in' and ago < stay and since < at then
    redis.call('ZADD', KEYS[6], at, member)
    redis.call('PEXPIRE', KEYS[6], stay)
  elseif to == 'out' and since <= at then
    redis.call('ZREM', KEYS[6], member)
  end
end
if denied >= denials_max then
  redis.call('UNLINK', KEYS[4])
  redis.call('HSET', KEYS[3], 'until', at + lockout)
  redis.call('PEXPIRE', KEYS[3], math.max(lockout, ${2 * minuteMs}))
elseif denied > 0 then
  redis.call('ZADD', KEYS[4], at, id)
  redis.call('PEXPIRE', KEYS[4], window)
end`,
});
