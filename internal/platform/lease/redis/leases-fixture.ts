import { type Clock, systemClock } from "../../clock/clock.ts";
import { systemRandom } from "../../clock/random.ts";
import type { Logger } from "../../telemetry/logger.ts";
import type { OpenLeases } from "../leases.ts";
import { openRedisLeases } from "./open-redis-leases.ts";

const nothing = () => undefined;
const silentLog: Logger = { debug: nothing, info: nothing, warn: nothing, error: nothing, child: () => silentLog };

/** Leases of one process, for tests. */
export function connectLeases(url: string, instance: string, clock: Clock = systemClock): OpenLeases {
  return openRedisLeases(url, { instance, clock, random: systemRandom, log: silentLog });
}
