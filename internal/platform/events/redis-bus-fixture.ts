import { systemClock } from "../clock/clock.ts";
import { systemRandom } from "../clock/random.ts";
import type { Logger } from "../telemetry/logger.ts";
import type { Metrics } from "../telemetry/metrics.ts";
import type { TestBus, TestBusConfig } from "./event-bus.contract.ts";
import { createRedisEventBus, type RedisEventBusOptions } from "./redis-event-bus.ts";

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

/** A bus for tests, here and in other processes. */
export function connectBus(
  url: string,
  config: TestBusConfig &
    Partial<Pick<RedisEventBusOptions, "partitions" | "topicBytesMax" | "parkedMax" | "clock" | "metrics">>,
): TestBus {
  return createRedisEventBus({
    url,
    partitions: 4,
    clock: systemClock,
    random: systemRandom,
    log: silentLog,
    metrics: silentMetrics,
    ...config,
  });
}
