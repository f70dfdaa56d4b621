import type { RedisReader } from "../../platform/redis/redis-store.ts";
import { type ChangeId, isAtLeast } from "./change-stream.ts";

/**
 * The processes that decide at doors keep copies of faces, and say in the face Redis how far they have followed its changes. Whoever erases
 * a face learns here who may still know it.
 *
 * | key | type | holds |
 * | --- | --- | --- |
 * | `{face}:d:instances` | hash | instance id -> `InstanceRecord` as JSON |
 * | `{face}:d:positions` | hash | instance id -> `<id of the last change applied> <renewed> <longest age>`: renewed is the time of the Redis server in milliseconds when the process said so, the longest age for how many milliseconds after it the process may go on deciding by what it knows |
 *
 * A process says so again at every change that it has applied, and at least every 300 ms.
 */
export const instancesKey = "{face}:d:instances";
/** See `instancesKey`. */
export const positionsKey = "{face}:d:positions";

/** What a process says of itself when it begins. */
export interface InstanceRecord {
  /** Name of its machine. */
  readonly host: string;
  /** When it began, ISO 8601. */
  readonly started: string;
  /** Names the process: of two that use the same instance id the later one has the greater. */
  readonly run: string;
}

/** A process, as people may be told of it. */
export interface InstanceName {
  readonly instanceId: string;
  /** Empty when it is not known. */
  readonly host: string;
}

/** Added to the longest age of a process: two machines' clocks do not run equally fast, and a renewal is written a little after it was asked for. */
const graceMs = 1000;

/** What is known of the processes that decide at doors. */
export interface Instances {
  /**
   * The live processes that have not applied a change yet, by id: none of them means that no decision that begins from now on is made by what was before the
   * change. A process is live from when it registers until it signs off, or has not renewed its presence for as long as it may decide without. Throws UNAVAILABLE,
   * reason STORE_UNAVAILABLE.
   */
  behind(change: ChangeId): Promise<readonly InstanceName[]>;
}

/** Reads them from the face Redis. */
export function createInstances(store: RedisReader): Instances {
  const { client } = store;
  return {
    behind: async (change) => {
      // In this order: a process that is found in the first reply has the renewal that is judged by the second.
      const [positions, [seconds, micros], records] = await Promise.all([
        client.hgetall(positionsKey),
        client.time(),
        client.hgetall(instancesKey),
      ]);
      const nowMs = Number(seconds) * 1000 + Math.floor(Number(micros) / 1000);
      return Object.entries(positions)
        .filter(([, text]) => {
          const { applied, renewedAtMs, ageMsMax } = readPosition(text);
          const isLive = nowMs - renewedAtMs <= ageMsMax + graceMs;
          return isLive && !isAtLeast(applied, change);
        })
        .map(([instanceId]) => ({ instanceId, host: hostOf(records[instanceId]) }))
        .toSorted((one, other) => (one.instanceId < other.instanceId ? -1 : 1));
    },
  };
}

/** How far a process is. */
interface Position {
  readonly applied: ChangeId;
  readonly renewedAtMs: number;
  readonly ageMsMax: number;
}

function readPosition(text: string): Position {
  const [applied = "", renewal = "", age = ""] = text.split(" ");
  if (!/^\d+-\d+$/.test(applied) || !/^\d+$/.test(renewal) || !/^\d+$/.test(age))
    throw new Error("a process at the doors has no readable position");
  return { applied, renewedAtMs: Number(renewal), ageMsMax: Number(age) };
}

function hostOf(record: string | undefined): string {
  if (record === undefined) return "";
  const { host } = JSON.parse(record) as Partial<InstanceRecord>;
  return host ?? "";
}
