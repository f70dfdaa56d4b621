import type { Clock } from "../clock/clock.ts";
import type { Random } from "../clock/random.ts";
import type { Leases } from "../lease/leases.ts";
import type { Component } from "../lifecycle/component.ts";
import type { Logger } from "../telemetry/logger.ts";
import type { Metrics } from "../telemetry/metrics.ts";
import type { Broker } from "./broker.ts";
import type { ConsumerGroups } from "./consumer-groups.ts";
import type { DeadLetters } from "./dead-letters.ts";
import type { Topic } from "./topics.ts";

/**
 * A broker as a process holds it. `start` sends and follows heartbeats and keeps retention; it fails when a topic of its own was made with
 * another number of partitions, and not when the server is away. Consumers must have stopped before it stops.
 */
export interface OpenBroker extends Broker, Component {
  readonly deadLetters: DeadLetters;
  readonly consumerGroups: ConsumerGroups;
  /** What cannot be read for what stands in the store, for people, such as "events: partition 1 of count.value cannot be read …"; empty when all is well. */
  spoilt(): readonly string[];
}

/** What a broker is opened with, whatever keeps its events. */
export interface BrokerOptions {
  /** Partitions of each topic, 1 to 64. Recorded in the store on first use of a topic; another number is refused, but for shared topics. */
  readonly partitions: number;
  /** Name of this process, for operators; need not be unique. */
  readonly instance: string;
  /** Every topic that is published here: no others are accepted. One of the processes that publish on a topic keeps its retention. */
  readonly topics: readonly Topic[];
  /** Names of the topics on which several services publish: what the store says of their partitions stops nothing. Default: the heartbeats alone. */
  readonly sharedTopics?: readonly string[];
  /** Services whose consumer groups and dead letters are looked after here, beside those that subscribe. Default: none. */
  readonly services?: readonly string[];
  /** Says whether the lease term of a publish is current, and keeps the heartbeat to one process. */
  readonly leases: Leases;
  /** URL of the leases' Redis: a broker on the same server checks a lease term in the step that stores the events. */
  readonly coordinationUrl: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly metrics: Metrics;
}

/** Opens a broker of one kind. Does no I/O. */
export type BrokerOpener = (url: string, options: BrokerOptions) => OpenBroker;
