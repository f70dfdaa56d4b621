import { createCountStates } from "../../internal/count/shared/count-states.ts";
import { readLayout, recordLayout } from "../../internal/count/shared/count-store.ts";
import { keysOf } from "../../internal/count/shared/key-schema.ts";
import { readValues } from "../../internal/count/shared/read-values.ts";
import { countWriteConfig } from "../../internal/count/write/config.ts";
import {
  createOutboxRelay,
  type OutboxRelay,
  type OutboxRelayOptions,
} from "../../internal/count/write/relay/relay.ts";
import { createCountWriter, type CountWriter } from "../../internal/count/write/write/writer.ts";
import { systemClock } from "../../internal/platform/clock/clock.ts";
import { systemRandom } from "../../internal/platform/clock/random.ts";
import { readConfig } from "../../internal/platform/config/read-config.ts";
import type { RedisStore } from "../../internal/platform/redis/redis-store.ts";
import { createLogger } from "../../internal/platform/telemetry/create-logger.ts";
import { roomForRequestIds } from "./request-ids.ts";
import { createMetrics } from "../../internal/platform/telemetry/create-metrics.ts";

// Muin's write path without a service and its RPC around it. Nothing else in the bench reaches into a service.

const limits = readConfig("count-write", countWriteConfig, roomForRequestIds);

/** What a part of the write path is given beside its stores; it logs errors alone. */
export function benchDeps() {
  const log = createLogger({ level: "error", service: "bench", destination: "stderr" });
  return { clock: systemClock, random: systemRandom, log, metrics: createMetrics() } as const;
}

/** The Counts of a store, as those who check a run read them. */
export interface BenchCounts {
  /** Sum of all values. */
  readonly stored: () => Promise<number>;
  /** Entries that wait in the outbox, over all shards. */
  readonly outboxDepth: () => Promise<number>;
}

/** Makes Counts of value 0 in a new store. */
export async function createBenchCounts(store: RedisStore, ids: readonly string[]): Promise<BenchCounts> {
  const layout = await recordLayout(store, { shards: limits.shards, random: systemRandom });
  const states = createCountStates(store, limits);
  await Promise.all(
    ids.map(async (countId) => {
      await states.create({ countId, infoRevision: 1, initialValue: 0 });
      await states.activate({ countId, infoRevision: 1 });
    }),
  );
  return {
    stored: async () => {
      const { counts } = await readValues(store, layout, ids);
      return counts.reduce((sum, { record }) => sum + (record?.value ?? 0), 0);
    },
    outboxDepth: async () => {
      const shards = Array.from({ length: layout.shards }, (_, shard) => store.client.xlen(keysOf(shard).outbox));
      return (await Promise.all(shards)).reduce((sum, length) => sum + length, 0);
    },
  };
}

/** Creates the writer with the settings that count-write has by default. */
export function createBenchWriter(store: RedisStore): CountWriter {
  return createCountWriter({ store, limits, ...benchDeps() });
}

/** Creates the relay from the store's outbox to the broker. */
export async function createBenchRelay(
  store: RedisStore,
  broker: OutboxRelayOptions["broker"],
  leases: OutboxRelayOptions["leases"],
): Promise<OutboxRelay> {
  const layout = await readLayout(store);
  return createOutboxRelay({ store, layout: () => layout, broker, leases, ...benchDeps() });
}
