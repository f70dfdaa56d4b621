import { join } from "node:path";
import type { Clock } from "../../../platform/clock/clock.ts";
import type { Random } from "../../../platform/clock/random.ts";
import { createBell } from "../../../platform/lifecycle/bell.ts";
import type { Component } from "../../../platform/lifecycle/component.ts";
import { timeout } from "../../../platform/lifecycle/timeout.ts";
import { readText, replaceFile } from "../../../platform/local/files.ts";
import type { RedisStore } from "../../../platform/redis/redis-store.ts";
import { defineScript } from "../../../platform/redis/script.ts";
import type { Logger } from "../../../platform/telemetry/logger.ts";
import type { ChangeId } from "../../shared/change-stream.ts";
import { type InstanceRecord, instancesKey, positionsKey } from "../../shared/instances.ts";
import { changesKey } from "../../shared/key-schema.ts";
import type { Places } from "./freshness.ts";

/** How often it is renewed at least. */
const renewEveryMs = 300;
/** How long the end waits for the store. */
const signOffMsMax = 1000;
/** Instances that have not been renewed for so long are forgotten: they will not come back. */
const forgetAfterMs = 7 * 86_400_000;

/** Keeps this process registered in the face Redis, with how far it is, as `instances.ts` says. */
export interface Presence extends Component {
  /** Says at once how far it is. */
  tell(): void;
}

interface PresenceOptions {
  readonly store: RedisStore;
  /** The instance's folder, which one process at a time holds. */
  readonly folder: string;
  readonly host: string;
  /** How long this process decides by what it knows after a renewal. */
  readonly ageMsMax: number;
  /** The stream of records. */
  readonly recordsKey: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  /** How far it is. `undefined`: it knows nothing, and is not registered. */
  readonly applied: () => ChangeId | undefined;
  /** Told of each renewal, with where the streams end, and when on the monotonic clock it was asked for. */
  readonly renewed: (ends: Places, askedAtMs: number) => void;
  /** Told when another process has the instance id: what this one knows counts for nothing from now on. */
  readonly superseded: () => void;
}

/** Makes it. The process that is started later with the same instance id is the one that counts: to register signs a predecessor off. */
export function createPresence(options: PresenceOptions): Presence {
  const { store, clock, random, log, applied } = options;
  const stopping = new AbortController();
  const { signal } = stopping;
  const bell = createBell();
  const run = random.uuid();
  const record: InstanceRecord = { host: options.host, started: new Date(clock.now()).toISOString(), run };
  let instanceId = "";
  let isRegistered = false;
  let running: Promise<void> = Promise.resolve();

  /** Renews it. False: it is another's. */
  const renew = async (position: ChangeId): Promise<boolean> => {
    const askedAtMs = clock.monotonic();
    const args = [
      instanceId,
      run,
      JSON.stringify(record),
      position,
      options.ageMsMax,
      isRegistered ? 0 : forgetAfterMs,
    ];
    const [facesEnd, recordsEnd] = await renewScript.run(
      store.client,
      [instancesKey, positionsKey],
      [...args, changesKey, options.recordsKey],
    );
    if (facesEnd === undefined || recordsEnd === undefined) return false;
    isRegistered = true;
    options.renewed({ faces: facesEnd.toString(), records: recordsEnd.toString() }, askedAtMs);
    return true;
  };
  const keep = async (): Promise<void> => {
    while (!signal.aborted) {
      bell.reset();
      const position = applied();
      try {
        if (position !== undefined && !(await renew(position))) {
          log.error("another process has this one's folder: no copies of faces are used any more", { instanceId });
          options.superseded();
          return;
        }
      } catch (error) {
        log.debug("the presence was not renewed", { err: error }); // The connection itself says that the store is away.
        await clock.sleep(retryMs, signal).catch(() => undefined); // Ends the loop.
      }
      await bell.wait(clock, renewEveryMs, signal);
    }
  };
  const signOff = async (): Promise<void> => {
    await running;
    if (isRegistered) await signOffScript.run(store.client, [instancesKey, positionsKey], [instanceId, run]);
  };
  return {
    name: "presence at the doors",
    tell: bell.ring,
    start: async () => {
      instanceId = await keptInstanceId(options.folder, random);
      if (!signal.aborted) running = keep();
    },
    stop: async () => {
      if (signal.aborted) return;
      stopping.abort();
      // The store may be away: the presence ends by itself.
      await timeout(clock, signOffMsMax, signOff()).catch((error: unknown) =>
        log.warn("not signed off", { err: error }),
      );
    },
  };
}

/** Pause after an attempt that failed, whatever is waiting. */
const retryMs = 50;

/** The id that stands in the folder; a new one the first time. */
async function keptInstanceId(folder: string, random: Random): Promise<string> {
  const path = join(folder, "instance-id");
  const kept = (await readText(path))?.trim();
  if (kept !== undefined && /^[!-~]{1,64}$/.test(kept)) return kept;
  const made = random.uuid();
  await replaceFile(path, `${made}\n`, { mode: 0o600 });
  return made;
}

/**
 * Replies where the streams end; nothing when a process that was started later has the id. Whoever registers takes the id. The record of an earlier process
 * comes back when the store is restored from an older file: then it is this process's again. The streams are read without being named
 * as keys: the account may not write that of faces, and keys of a script are taken to be written.
 */
const renewScript = defineScript<readonly Buffer[]>({
  name: "presence-renew",
  keys: 2,
  lua: `
local id, run, forget_after = ARGV[1], ARGV[2], tonumber(ARGV[6])
local held = redis.call('HGET', KEYS[1], id)
if held and forget_after == 0 and cjson.decode(held).run > run then return {} end
local ends = {}
for place = 7, 8 do
  local last = redis.call('XREVRANGE', ARGV[place], '+', '-', 'COUNT', 1)
  ends[#ends + 1] = last[1] and last[1][1] or '0-0'
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if forget_after > 0 then
  local positions = redis.call('HGETALL', KEYS[2])
  for place = 1, #positions, 2 do
    local renewal = tonumber(string.match(positions[place + 1], '^%S+ (%d+)'))
    if not renewal or now - renewal > forget_after then
      redis.call('HDEL', KEYS[1], positions[place])
      redis.call('HDEL', KEYS[2], positions[place])
    end
  end
end
if not held or cjson.decode(held).run ~= run then redis.call('HSET', KEYS[1], id, ARGV[3]) end
redis.call('HSET', KEYS[2], id, ARGV[4] .. ' ' .. string.format('%d', now) .. ' ' .. ARGV[5])
return ends
`,
});

/** Does nothing when another process has the id by now. */
const signOffScript = defineScript<number>({
  name: "presence-sign-off",
  keys: 2,
  lua: `
local held = redis.call('HGET', KEYS[1], ARGV[1])
if held and cjson.decode(held).run ~= ARGV[2] then return 0 end
redis.call('HDEL', KEYS[1], ARGV[1])
return redis.call('HDEL', KEYS[2], ARGV[1])
`,
});
