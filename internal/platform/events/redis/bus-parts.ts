import type { Redis } from "ioredis";
import type { Clock } from "../../clock/clock.ts";
import type { Random } from "../../clock/random.ts";
import type { Logger } from "../../telemetry/logger.ts";
import type { BusMeters } from "../bus-meters.ts";
import type { LeaseKeeper } from "./lease-keeper.ts";

/** What the parts of a bus share. */
export interface BusParts {
  readonly client: Redis;
  /** A connection for blocking reads, not yet connected. */
  readonly openReader: (name: string) => Redis;
  readonly keeper: LeaseKeeper;
  /** Resolves when the store is known to have as many partitions as this process believes; asked before anything else. */
  readonly open: () => Promise<void>;
  /** Numbers of a topic's partitions, from 0. */
  readonly partitions: readonly number[];
  /** Dead letters of a group and partition at most. */
  readonly parkedMax: number;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly meters: BusMeters;
}
