import { defineScript } from "../../redis/script.ts";

/** Lua condition: the lease at `key`, an expression, has another term than the number `number`, an expression too. */
export function isFenced(key: string, number: string): string {
  return `tonumber(redis.call('HGET', ${key}, 'number')) ~= tonumber(${number})`;
}

/**
 * Renews, takes and gives up leases, and keeps the lists of candidates that share theirs. A lease is free when its end has passed,
 * or lies further ahead than any lease lasts: then the server's clock stepped back. The number grows with each new term.
 * ARGV holder, life in milliseconds; then of each candidacy "join" or "leave" its list, or "alone" without one, how many leases, and
 * of each lease "r" + number to renew, "x" + number to give up, "w" to take, "-" to leave. KEYS of each candidacy: its list (unless
 * "alone"), leases. Returns of each candidacy how many more than its share are held, then each lease's number when held, else 0.
 */
export const leaseScript = defineScript<number[]>({
  name: "lease",
  runsWhenFull: true,
  keys: "any",
  lua: `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local holder, life = ARGV[1], tonumber(ARGV[2])
local reply, key, arg = {}, 1, 3
while arg <= #ARGV do
  local part, count = ARGV[arg], tonumber(ARGV[arg + 1])
  arg = arg + 2
  local share = count
  if part ~= 'alone' then
    if part == 'join' then
      redis.call('ZADD', KEYS[key], now + life, holder)
    else
      redis.call('ZREM', KEYS[key], holder)
    end
    redis.call('ZREMRANGEBYSCORE', KEYS[key], '-inf', now)
    share = math.ceil(count / math.max(1, redis.call('ZCARD', KEYS[key])))
    key = key + 1
  end
  local numbers, held = {}, 0
  for i = 1, count do
    local kind, number = string.sub(ARGV[arg + i - 1], 1, 1), tonumber(string.sub(ARGV[arg + i - 1], 2))
    numbers[i] = 0
    if (kind == 'r' or kind == 'x') and tonumber(redis.call('HGET', KEYS[key + i - 1], 'number')) == number then
      if kind == 'r' then
        redis.call('HSET', KEYS[key + i - 1], 'until', now + life)
        numbers[i], held = number, held + 1
      else
        redis.call('HSET', KEYS[key + i - 1], 'until', 0)
      end
    end
  end
  for i = 1, count do
    if ARGV[arg + i - 1] == 'w' and held < share then
      local lease = redis.call('HMGET', KEYS[key + i - 1], 'number', 'until')
      local till = tonumber(lease[2] or '0')
      if till <= now or till > now + life then
        local number = tonumber(lease[1] or '0') + 1
        redis.call('HSET', KEYS[key + i - 1], 'number', number, 'holder', holder, 'until', now + life)
        numbers[i], held = number, held + 1
      end
    end
  end
  reply[#reply + 1] = math.max(0, held - share)
  for i = 1, count do reply[#reply + 1] = numbers[i] end
  key, arg = key + count, arg + count
end
return reply`,
});
