import type { Redis } from "ioredis";
import type { Clock } from "../../clock/clock.ts";
import type { Random } from "../../clock/random.ts";
import type { LeaseKeeper } from "../../lease/redis/lease-keeper.ts";
import type { Logger } from "../../telemetry/logger.ts";
import type { BrokerMeters } from "../broker-meters.ts";
import type { SpoiltPlaces } from "./spoilt-places.ts";

/** What the parts of a broker on Redis share. */
export interface BrokerParts {
  readonly client: Redis;
  /** A connection for blocking reads, not yet connected. */
  readonly openReader: (name: string) => Redis;
  /**
   * The broker's own leases, beside the events: who reads a partition for a consumer group, and who trims a topic. Here the server
   * checks them in one step with what they protect, wherever the leases of others are kept.
   */
  readonly keeper: LeaseKeeper;
  /** Resolves when a topic is known to have as many partitions as this process believes, see `createTopicOpener`; asked before anything else. */
  readonly open: (topic: string) => Promise<void>;
  /** Numbers of a topic's partitions, from 0. */
  readonly partitions: readonly number[];
  /** Dead letters of a consumer group and partition at most. */
  readonly parkedMax: number;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly meters: BrokerMeters;
  /** What its readers find that cannot be read. */
  readonly spoilt: SpoiltPlaces;
}
