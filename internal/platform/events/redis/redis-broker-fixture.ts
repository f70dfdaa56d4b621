import { systemClock } from "../../clock/clock.ts";
import { systemRandom } from "../../clock/random.ts";
import { openRedisLeases } from "../../lease/redis/open-redis-leases.ts";
import type { Logger } from "../../telemetry/logger.ts";
import type { Metrics } from "../../telemetry/metrics.ts";
import type { TestBus, TestBusConfig } from "../contract/bus-fixture.ts";
import { openRedisBroker, type RedisBrokerOptions } from "./open-redis-broker.ts";

const nothing = () => undefined;

/** A log that keeps nothing. */
export const silentLog: Logger = {
  debug: nothing,
  info: nothing,
  warn: nothing,
  error: nothing,
  child: () => silentLog,
};

/** Metrics that count nothing. */
export const silentMetrics: Metrics = {
  counter: () => ({ add: nothing }),
  gauge: () => ({ set: nothing }),
  histogram: () => ({ observe: nothing }),
};

/**
 * Leases and a broker of one process for tests, here and in other processes. `connection` is the URL of the events and, behind a
 * space, that of the leases where these are on another server.
 */
export function connectBus(
  connection: string,
  config: TestBusConfig &
    Partial<
      Pick<
        RedisBrokerOptions,
        "partitions" | "sharedTopics" | "topicBytesMax" | "parkedMax" | "clock" | "log" | "metrics"
      >
    >,
): TestBus {
  const [url = "", coordinationUrl = url] = connection.split(" ");
  const { instance, clock = systemClock } = config;
  const leases = openRedisLeases(coordinationUrl, { instance, clock, random: systemRandom, log: silentLog });
  const broker = openRedisBroker(url, {
    partitions: 4,
    clock,
    random: systemRandom,
    log: silentLog,
    metrics: silentMetrics,
    ...config,
    leases,
    coordinationUrl,
  });
  return {
    ...broker,
    leases,
    start: async () => {
      await leases.start();
      await broker.start();
    },
    stop: async () => {
      await broker.stop();
      await leases.stop();
    },
  };
}
