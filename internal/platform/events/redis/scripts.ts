import { isFenced } from "../../lease/redis/lease-script.ts";
import { defineScript } from "../../redis/script.ts";
import { type RawEntry, recordFields } from "./entries.ts";

/** Answer of a script that found a later term of the lease: nothing was changed. */
export const fencedReply = -1;
/** Answer of a script that found a newer generation of the consumer group: nothing was changed. */
export const movedReply = -2;
/** Answer of `parkScript` when the store of dead letters is full: nothing was changed. */
export const fullReply = -3;

const isMoved = (group: string, generation: string) => `redis.call('HGET', ${group}, 'generation') ~= ${generation}`;

/*
 * KEYS are what a script writes: a server demands of its caller the right to write each of them. What it only reads, of a topic that
 * another service writes, is named in ARGV; there the server looks at the right with which the script reads it.
 */

/** Names and values of an entry's fields, from `first` on in ARGV. */
const entryFields = (first: string) =>
  recordFields.map((name, index) => `'${name}', ARGV[${first}${index === 0 ? "" : ` + ${index}`}]`).join(", ");

/**
 * Records a topic's number of partitions on first use. Returns the recorded one, 0 for what is no number. KEYS topic; ARGV partitions, and
 * the key in which earlier versions recorded it.
 */
export const openScript = defineScript<number>({
  name: "events-open",
  runsWhenFull: true,
  keys: 1,
  lua: `
local known = redis.call('HGET', ARGV[2], 'partitions') or ARGV[1]
redis.call('HSETNX', KEYS[1], 'partitions', known)
return tonumber(redis.call('HGET', KEYS[1], 'partitions')) or 0`,
});

/**
 * Appends event records: all of them, or none when the lease term is over. KEYS lease, then topic and stream of each partition; ARGV
 * number of the term or "", which leaves the first key unseen, then of each partition its number, how many records, and their values. Returns 1 or fencedReply.
 */
export const publishScript = defineScript<number>({
  name: "events-publish",
  keys: "any",
  lua: `
if ARGV[1] ~= '' and ${isFenced("KEYS[1]", "ARGV[1]")} then return ${fencedReply} end
local arg = 2
for key = 2, #KEYS, 2 do
  local partition, count = ARGV[arg], tonumber(ARGV[arg + 1])
  arg = arg + 2
  for _ = 1, count do
    redis.call('XADD', KEYS[key + 1], '*', ${entryFields("arg")})
    arg = arg + ${recordFields.length}
  end
  redis.call('HINCRBY', KEYS[key], 'a' .. partition, count)
end
return 1`,
});

/**
 * A consumer group's position in a partition; a new one stands before the oldest event record. KEYS group, groups; ARGV partition,
 * topic, its key. Returns generation, stream id, ordinal.
 */
export const positionScript = defineScript<[generation: number, id: Buffer, ordinal: number]>({
  name: "events-position",
  runsWhenFull: true,
  keys: 2,
  lua: `
redis.call('SADD', KEYS[2], ARGV[2])
redis.call('HSETNX', KEYS[1], 'generation', 1)
if redis.call('HEXISTS', KEYS[1], 'i' .. ARGV[1]) == 0 then
  local removed = redis.call('HGET', ARGV[3], 'r' .. ARGV[1]) or '0'
  redis.call('HSET', KEYS[1], 'i' .. ARGV[1], '0-0', 'o' .. ARGV[1], removed)
end
local position = redis.call('HMGET', KEYS[1], 'generation', 'i' .. ARGV[1], 'o' .. ARGV[1])
return { tonumber(position[1]), position[2], tonumber(position[3]) }`,
});

/**
 * Moves a consumer group's position behind what it has handled. KEYS lease, group; ARGV term's number, partition, generation, stream id,
 * ordinal, since when event records were removed unseen, in milliseconds, or "". Returns 1, fencedReply or movedReply.
 */
export const commitScript = defineScript<number>({
  name: "events-commit",
  runsWhenFull: true,
  keys: 2,
  lua: `
if ${isFenced("KEYS[1]", "ARGV[1]")} then return ${fencedReply} end
if ${isMoved("KEYS[2]", "ARGV[3]")} then return ${movedReply} end
redis.call('HSET', KEYS[2], 'i' .. ARGV[2], ARGV[4], 'o' .. ARGV[2], ARGV[5])
if ARGV[6] ~= '' then redis.call('HSETNX', KEYS[2], 'l' .. ARGV[2], ARGV[6]) end
return 1`,
});

/**
 * Reads a partition together with the number of event records removed from it. ARGV keys of stream and topic, partition, id after which
 * to read, how many. Returns the number removed and the entries.
 */
export const readScript = defineScript<[removed: number, entries: RawEntry[]]>({
  name: "events-read",
  keys: 0,
  lua: `
local removed = tonumber(redis.call('HGET', ARGV[2], 'r' .. ARGV[3]) or '0')
return { removed, redis.call('XRANGE', ARGV[1], '(' .. ARGV[4], '+', 'COUNT', ARGV[5]) }`,
});

/** The server's time in milliseconds, and of each stream the newest entry's id or "0-0", also where it is none. ARGV keys of the streams. */
export const newestScript = defineScript<[timeMs: number, ...ids: Buffer[]]>({
  name: "events-newest",
  keys: 0,
  lua: `
local time = redis.call('TIME')
local reply = { time[1] * 1000 + math.floor(time[2] / 1000) }
for i, stream in ipairs(ARGV) do
  local newest = redis.pcall('XREVRANGE', stream, '+', '-', 'COUNT', 1)
  reply[i + 1] = newest[1] and newest[1][1] or '0-0'
end
return reply`,
});

/**
 * Where instances begin: the server's time in milliseconds, then of each partition the newest entry's id or "0-0", and event records ever
 * added and removed, 0 for what is no number. ARGV key of the topic, then of each partition its number and the stream's key.
 */
export const startScript = defineScript<[timeMs: number, ...(readonly [id: Buffer, added: number, removed: number])[]]>(
  {
    name: "events-start",
    keys: 0,
    lua: `
local time = redis.call('TIME')
local reply = { time[1] * 1000 + math.floor(time[2] / 1000) }
for arg = 2, #ARGV, 2 do
  local counts = redis.call('HMGET', ARGV[1], 'a' .. ARGV[arg], 'r' .. ARGV[arg])
  local newest = redis.pcall('XREVRANGE', ARGV[arg + 1], '+', '-', 'COUNT', 1)
  local id = newest[1] and newest[1][1] or '0-0'
  reply[#reply + 1] = { id, tonumber(counts[1]) or 0, tonumber(counts[2]) or 0 }
end
return reply`,
  },
);

/**
 * Removes event records older than a number of milliseconds, by the server's clock, then the oldest until the stream fits its bytes, and
 * counts them. Whole nodes of the stream only: a little more may stay. KEYS stream, topic; ARGV partition, milliseconds, bytes.
 * Returns how many were removed.
 */
export const trimScript = defineScript<number>({
  name: "events-trim",
  runsWhenFull: true,
  keys: 2,
  lua: `
local time = redis.call('TIME')
local oldest = math.max(0, time[1] * 1000 + math.floor(time[2] / 1000) - tonumber(ARGV[2]))
local removed = redis.call('XTRIM', KEYS[1], 'MINID', '~', string.format('%.0f-0', oldest), 'LIMIT', 100000)
local bytes = redis.call('MEMORY', 'USAGE', KEYS[1]) or 0
local length = redis.call('XLEN', KEYS[1])
if bytes > tonumber(ARGV[3]) and length > 1 then
  local keep = math.floor(length * tonumber(ARGV[3]) / bytes)
  removed = removed + redis.call('XTRIM', KEYS[1], 'MAXLEN', '~', keep, 'LIMIT', 100000)
end
if removed > 0 then redis.call('HINCRBY', KEYS[2], 'r' .. ARGV[1], removed) end
return removed`,
});

/**
 * Adds a dead letter, unless this very record is among them already. KEYS lease, group, parked, parked keys; ARGV term's number,
 * generation, at most how many, ordinal, subject, reason, attempts, then the record's values. Returns 1, fencedReply, movedReply or fullReply.
 */
export const parkScript = defineScript<number>({
  name: "events-park",
  runsWhenFull: true,
  keys: 4,
  lua: `
if ${isFenced("KEYS[1]", "ARGV[1]")} then return ${fencedReply} end
if ${isMoved("KEYS[2]", "ARGV[2]")} then return ${movedReply} end
local last = redis.call('HGET', KEYS[4], 'o' .. ARGV[5])
if last and tonumber(last) >= tonumber(ARGV[4]) then return 1 end
if redis.call('XLEN', KEYS[3]) >= tonumber(ARGV[3]) then return ${fullReply} end
redis.call('XADD', KEYS[3], '*', 'ordinal', ARGV[4], 'reason', ARGV[6], 'attempts', ARGV[7],
  ${entryFields("8")})
redis.call('HINCRBY', KEYS[4], 'c' .. ARGV[5], 1)
redis.call('HSET', KEYS[4], 'o' .. ARGV[5], ARGV[4])
return 1`,
});

/**
 * Marks dead letters of one subject, or of all when it is "", as handed back. KEYS parked keys, redriven, group; ARGV partition,
 * subject. Returns how many.
 */
export const redriveScript = defineScript<number>({
  name: "events-redrive",
  runsWhenFull: true,
  keys: 3,
  lua: `
local total = 0
local function mark(subject, count)
  redis.call('SADD', KEYS[2], subject)
  total = total + tonumber(count)
end
if ARGV[2] == '' then
  local all = redis.call('HGETALL', KEYS[1])
  for i = 1, #all, 2 do
    if string.sub(all[i], 1, 1) == 'c' then mark(string.sub(all[i], 2), all[i + 1]) end
  end
else
  local count = redis.call('HGET', KEYS[1], 'c' .. ARGV[2])
  if count then mark(ARGV[2], count) end
end
if total > 0 then redis.call('HINCRBY', KEYS[3], 'd' .. ARGV[1], 1) end
return total`,
});

/**
 * Ends a dead letter's redrive. Handled: removes it, and with the last one its subject. Failed again: its subject waits for the
 * next redrive. KEYS lease, group, parked, parked keys, redriven; ARGV term's number, generation, id, subject, "" or the new failure
 * as JSON. Returns how many of the subject are left, fencedReply or movedReply.
 */
export const redrivenScript = defineScript<number>({
  name: "events-redriven",
  runsWhenFull: true,
  keys: 5,
  lua: `
if ${isFenced("KEYS[1]", "ARGV[1]")} then return ${fencedReply} end
if ${isMoved("KEYS[2]", "ARGV[2]")} then return ${movedReply} end
local subject = ARGV[4]
if ARGV[5] ~= '' then
  redis.call('HSET', KEYS[4], 'f' .. ARGV[3], ARGV[5])
  redis.call('SREM', KEYS[5], subject)
  return tonumber(redis.call('HGET', KEYS[4], 'c' .. subject) or '0')
end
redis.call('HDEL', KEYS[4], 'f' .. ARGV[3])
if redis.call('XDEL', KEYS[3], ARGV[3]) == 0 then return tonumber(redis.call('HGET', KEYS[4], 'c' .. subject) or '0') end
local left = redis.call('HINCRBY', KEYS[4], 'c' .. subject, -1)
if left <= 0 then
  redis.call('HDEL', KEYS[4], 'c' .. subject, 'o' .. subject)
  redis.call('SREM', KEYS[5], subject)
end
return left`,
});

/** Lua: ends the loss of a partition of a group, expressions both, and keeps since when it was. */
const settle = (group: string, partition: string) => `
local since = redis.call('HGET', ${group}, 'l' .. ${partition})
if since then
  redis.call('HDEL', ${group}, 'l' .. ${partition})
  redis.call('HSET', ${group}, 'since', since)
end`;

/** Ends the loss of a consumer group, which stays where it is. KEYS group; ARGV partitions. Returns 1. */
export const settleScript = defineScript<number>({
  name: "events-settle",
  runsWhenFull: true,
  keys: 1,
  lua: `
for _, partition in ipairs(ARGV) do
  ${settle("KEYS[1]", "partition")}
end
return 1`,
});

/**
 * Moves a consumer group to the oldest event records as a new generation. Dead letters that are still in the stream come again from there, in
 * order, and are removed; older ones stay and keep their subjects waiting. KEYS group, then of each partition parked, parked
 * keys, redriven; ARGV key of the topic. Returns the generation, 0 when the group never consumed.
 */
export const replayScript = defineScript<number>({
  name: "events-replay",
  runsWhenFull: true,
  keys: "any",
  lua: `
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
for key = 2, #KEYS, 3 do
  local partition = (key - 2) / 3
  local removed = tonumber(redis.call('HGET', ARGV[1], 'r' .. partition) or '0')
  redis.call('HSET', KEYS[1], 'i' .. partition, '0-0', 'o' .. partition, removed)
  ${settle("KEYS[1]", "partition")}
  for _, entry in ipairs(redis.call('XRANGE', KEYS[key], '-', '+')) do
    local fields = {}
    for i = 1, #entry[2], 2 do fields[entry[2][i]] = entry[2][i + 1] end
    if tonumber(fields.ordinal) > removed then
      redis.call('XDEL', KEYS[key], entry[1])
      redis.call('HDEL', KEYS[key + 1], 'f' .. entry[1])
      if redis.call('HINCRBY', KEYS[key + 1], 'c' .. fields.subject, -1) <= 0 then
        redis.call('HDEL', KEYS[key + 1], 'c' .. fields.subject, 'o' .. fields.subject)
        redis.call('SREM', KEYS[key + 2], fields.subject)
      else
        redis.call('HSET', KEYS[key + 1], 'o' .. fields.subject, removed)
      end
    end
  end
end
return redis.call('HINCRBY', KEYS[1], 'generation', 1)`,
});
