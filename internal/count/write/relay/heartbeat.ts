import type { Clock } from "../../../platform/clock/clock.ts";
import type { RedisStore } from "../../../platform/redis/redis-store.ts";
import { defineScript } from "../../../platform/redis/script.ts";
import type { Logger } from "../../../platform/telemetry/logger.ts";
import type { Metrics } from "../../../platform/telemetry/metrics.ts";
import type { CountStoreLayout } from "../../shared/count-store.ts";
import { keysOf } from "../../shared/key-schema.ts";
import { readOutboxState } from "../outbox/store-redis.ts";

/** Pause between two heartbeats of the counts primary. */
const heartbeatMs = 100;
/** How often depth and bytes of the outbox are measured. */
const measureMs = 1000;

/**
 * Writes the heartbeat of the counts primary and measures its outbox, again and again until the signal is aborted; then rejects with
 * its reason. While the store is away it goes on trying.
 */
export function createHeartbeat(deps: {
  readonly store: RedisStore;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
}): (layout: Pick<CountStoreLayout, "shards">, signal: AbortSignal) => Promise<void> {
  const { store, clock, log, metrics } = deps;
  const depth = metrics.gauge({ name: "count_write_outbox_entries", help: "Outbox entries that wait." });
  const bytes = metrics.gauge({ name: "count_write_outbox_bytes", help: "Bytes of the outbox that wait." });
  const parked = metrics.gauge({
    name: "count_write_outbox_parked",
    help: "Outbox entries of shards of which the bus refuses the first.",
  });
  const age = metrics.gauge({ name: "count_write_outbox_age_seconds", help: "Age of the oldest outbox entry." });

  return async ({ shards }, signal) => {
    let measuredMs = Number.NEGATIVE_INFINITY;
    while (!signal.aborted) {
      try {
        await beat(store, shards);
        if (clock.monotonic() - measuredMs >= measureMs) {
          measuredMs = clock.monotonic();
          const waiting = await readOutboxState(store, shards);
          depth.set(waiting.depth);
          bytes.set(waiting.bytes);
          parked.set(waiting.parked);
          age.set(waiting.ageMs / 1000);
        }
      } catch (error) {
        log.debug("no heartbeat was written", { err: error });
      }
      await clock.sleep(heartbeatMs, signal);
    }
  };
}

/** Writes the primary's heartbeat, its own Redis TIME, to each of its shards. A replica shows by it how new its values are. */
async function beat(store: RedisStore, shards: number): Promise<void> {
  await Promise.all(
    Array.from({ length: shards }, (_, shard) => heartbeatScript.run(store.client, [keysOf(shard).heartbeat], [])),
  );
}

const heartbeatScript = defineScript<Buffer>({
  name: "heartbeat",
  runsWhenFull: true,
  keys: 1,
  lua: `
local clock = redis.call('TIME')
return redis.call('SET', KEYS[1], string.format('%.0f', clock[1] * 1000 + math.floor(clock[2] / 1000)))
`,
});
