import type { RedisStore } from "../../../platform/redis/redis-store.ts";
import { defineScript } from "../../../platform/redis/script.ts";
import { type ChangeId, isAtLeast } from "../../shared/change-stream.ts";
import { runIdOf } from "../../shared/fresh.ts";
import { copyChangesKey, doubtKey, toldBranch, toldKey, toldMember } from "../face-store/keys.ts";

/** Of the stream of changes as many are kept at least; with fewer, its beginning was not trimmed. */
const keptAtLeast = 100_000;
/** Asked so often by itself; after that, only while somebody is met who was not told. */
const askedAtLeast = 3;
/** Pause after a request: it grows with each, up to an hour. */
const [askEveryMs, askEveryMsMax] = [60_000, 3_600_000];
/** Whoever has begun to ask and died is waited for so long. */
const claimMs = 5000;

/** What doubts there are about copies in the face Redis, as all processes know them. */
export interface DoubtStore {
  /** Which process answers, whether the change that was seen last is missing there, and the last that there is. */
  look(seen: ChangeId | undefined): Promise<StoreState>;
  /** Casts doubt on all copies of the process `runId`, unless that was done. */
  raise(runId: string): Promise<void>;
  /** Whether there is doubt, and whether a branch was told again since. */
  branch(branchId: string): Promise<{ readonly isDoubted: boolean; readonly isTold: boolean }>;
  /** Whether a person was told again since the doubt arose. */
  isMemberTold(memberId: string): Promise<boolean>;
  /** Notes that somebody was met who was not told. */
  miss(): Promise<void>;
  /** Whether all is to be asked for now, by the caller. */
  claim(): Promise<boolean>;
  /** The request is sent: the next has time. */
  asked(): Promise<void>;
}

/** What the face Redis says of its state. */
export interface StoreState {
  readonly runId: string;
  /** A change that was seen is not there: the store is older than that. */
  readonly isOlder: boolean;
  readonly last: ChangeId | undefined;
}

export function createRedisDoubts({ client }: Pick<RedisStore, "client">): DoubtStore {
  return {
    look: async (seen) => {
      // One connection, in this order: what is read is that process's.
      const pipeline = client.pipeline();
      pipeline.info("server");
      pipeline.xrange(copyChangesKey, seen ?? "-", seen ?? "-", "COUNT", 1);
      pipeline.xrange(copyChangesKey, "-", "+", "COUNT", 1);
      pipeline.xrevrange(copyChangesKey, "+", "-", "COUNT", 1);
      pipeline.xlen(copyChangesKey);
      const [info, found, first, last, length] = ((await pipeline.exec()) ?? []).map(([error, reply]) => {
        if (error !== null) throw error;
        return reply;
      }) as [string, Entries, Entries, Entries, number];
      // Entries leave the stream from its beginning only, and only when there are very many.
      const isTrimmed = length >= keptAtLeast && seen !== undefined && isBefore(seen, first[0]?.[0]);
      return {
        runId: runIdOf(info),
        isOlder: seen !== undefined && found.length === 0 && !isTrimmed,
        last: last[0]?.[0],
      };
    },

    raise: async (runId) => {
      await raise.run(client, [doubtKey, toldKey], [runId]);
    },

    branch: async (branchId) => {
      const [run, told] = await Promise.all([
        client.hget(doubtKey, "run"),
        client.sismember(toldKey, toldBranch(branchId)),
      ]);
      return { isDoubted: run !== null, isTold: told === 1 };
    },

    isMemberTold: async (memberId) => (await client.sismember(toldKey, toldMember(memberId))) === 1,

    miss: async () => {
      await miss.run(client, [doubtKey], []);
    },

    claim: async () => (await claim.run(client, [doubtKey], [])) === 1,
    asked: async () => {
      await asked.run(client, [doubtKey], []);
    },
  };
}

type Entries = readonly (readonly [id: ChangeId, fields: readonly string[]])[];

function isBefore(one: ChangeId, other: ChangeId | undefined): boolean {
  return other !== undefined && !isAtLeast(one, other);
}

const nowLua = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
`;

/** KEYS: the doubt, who was told. What was told of an earlier doubt may have been lost with the rest. */
const raise = defineScript<null>({
  name: "doubt copies",
  keys: 2,
  lua: `
if redis.call('HGET', KEYS[1], 'run') == ARGV[1] then return end
redis.call('UNLINK', KEYS[1], KEYS[2])
redis.call('HSET', KEYS[1], 'run', ARGV[1], 'asks', 0, 'next', 0)`,
});

const miss = defineScript<null>({
  name: "miss a doubted copy",
  keys: 1,
  lua: `if redis.call('EXISTS', KEYS[1]) == 1 then redis.call('HSET', KEYS[1], 'missed', 1) end`,
});

const claim = defineScript<number>({
  name: "claim to ask for copies",
  keys: 1,
  lua: `${nowLua}
local doubt = redis.call('HMGET', KEYS[1], 'run', 'asks', 'next', 'missed')
if not doubt[1] then return 0 end
if now < tonumber(doubt[3]) then return 0 end
if tonumber(doubt[2]) >= ${askedAtLeast} and not doubt[4] then return 0 end
redis.call('HSET', KEYS[1], 'next', now + ${claimMs})
return 1`,
});

const asked = defineScript<null>({
  name: "note that copies were asked for",
  keys: 1,
  lua: `${nowLua}
local asks = tonumber(redis.call('HGET', KEYS[1], 'asks') or '-1')
if asks < 0 then return end
local pause = math.min(${askEveryMs} * 2 ^ math.min(asks, 10), ${askEveryMsMax})
redis.call('HSET', KEYS[1], 'asks', asks + 1, 'next', string.format('%d', now + pause))
redis.call('HDEL', KEYS[1], 'missed')`,
});
