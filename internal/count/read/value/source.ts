import type { Clock } from "../../../platform/clock/clock.ts";
import type { RedisReader } from "../../../platform/redis/redis-store.ts";
import type { CountStateRecord } from "../../shared/count-state.ts";
import { readLayout, type CountStoreLayout } from "../../shared/count-store.ts";
import { readValues } from "../../shared/read-values.ts";
import type { PrimaryClock } from "./primary-clock.ts";

/** A Count's state and how fresh it is. */
export interface ReadValue {
  /** Absent: there was no such Count. */
  readonly record: CountStateRecord | undefined;
  /** It is at least as new as this moment of the counts primary, in milliseconds since the Unix epoch. */
  readonly asOfMs: number;
  /** It is at least as new as this moment of the local monotonic clock; -Infinity when nothing is known. */
  readonly freshAt: number;
  readonly source: "primary" | "replica";
}

/** Reads states, in the order of the ids, in one round trip. Rejects when the server does not answer. */
export type ReadValues = (countIds: readonly string[]) => Promise<readonly ReadValue[]>;

/** Local time, and what is known of the primary's. */
export interface ValueSourceDeps {
  readonly clock: Pick<Clock, "monotonic">;
  readonly primaryClock: PrimaryClock;
}

/** Reads from the primary: a write that was acknowledged before the read began is seen. */
export function createPrimarySource(store: RedisReader, { clock, primaryClock }: ValueSourceDeps): ReadValues {
  const layoutOf = rememberLayout(store);
  return async (countIds) => {
    const layout = await layoutOf();
    const sentAt = clock.monotonic();
    const { counts, timeMs } = await readValues(store, layout, countIds);
    primaryClock.observe(timeMs, sentAt, clock.monotonic());
    return counts.map(({ record }) => ({
      record: existing(record),
      asOfMs: timeMs,
      freshAt: sentAt,
      source: "primary",
    }));
  };
}

/** Reads from a replica: each value is as new as the primary's heartbeat that came with it. */
export function createReplicaSource(store: RedisReader, { clock, primaryClock }: ValueSourceDeps): ReadValues {
  const layoutOf = rememberLayout(store);
  return async (countIds) => {
    const { counts } = await readValues(store, await layoutOf(), countIds);
    const receivedAt = clock.monotonic();
    return counts.map(({ record: found, heartbeatMs }) => {
      const record = existing(found);
      if (heartbeatMs === undefined) return { record, asOfMs: 0, freshAt: Number.NEGATIVE_INFINITY, source: "replica" };
      const freshAt = receivedAt - primaryClock.ageMsMax(heartbeatMs, receivedAt);
      return { record, asOfMs: heartbeatMs, freshAt, source: "replica" };
    });
  };
}

/** A Count that is being created does not exist yet. */
function existing(record: CountStateRecord | undefined): CountStateRecord | undefined {
  return record?.state === "pending" ? undefined : record;
}

/** The layout never changes: it is read once. */
function rememberLayout(store: RedisReader): () => Promise<CountStoreLayout> {
  let known: CountStoreLayout | undefined;
  return async () => (known ??= await readLayout(store));
}
