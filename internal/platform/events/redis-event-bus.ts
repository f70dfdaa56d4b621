import { type Component, createGroup } from "../lifecycle/component.ts";
import type { Clock } from "../clock/clock.ts";
import type { Random } from "../clock/random.ts";
import { MuinError } from "../errors/muin-error.ts";
import { connect, cutOff } from "../redis/open-redis.ts";
import type { Logger } from "../telemetry/logger.ts";
import type { Metrics } from "../telemetry/metrics.ts";
import { createBusMeters } from "./bus-meters.ts";
import type { EventBus } from "./event-bus.ts";
import { createHeartbeat, heartbeatTopic } from "./heartbeat.ts";
import type { BusParts } from "./redis/bus-parts.ts";
import { createDeadLetters } from "./redis/dead-letters.ts";
import { createGroupConsumer } from "./redis/group-consumer.ts";
import { createGroups, type Group } from "./redis/groups.ts";
import { createInstanceConsumer } from "./redis/instance-consumer.ts";
import { keys } from "./redis/keys.ts";
import { type Claim, createLeaseKeeper } from "./redis/lease-keeper.ts";
import { createPublisher } from "./redis/publish-records.ts";
import { keepRetention } from "./redis/retention.ts";
import { openScript } from "./redis/scripts.ts";
import { tailTopic } from "./redis/tail-topic.ts";
import type { Topic } from "./topics.ts";

/** Bytes of a topic's records in the server's memory, unless set otherwise. */
const topicBytesMaxDefault = 512 << 20;
/** Dead letters of a group and partition, unless set otherwise. */
const parkedMaxDefault = 10_000;
/** A connection with blocking reads that hears nothing for so long is cut. Reads block for much less. */
const readerSilenceMsMax = 3000;
/** Calls under way may take so long when the bus closes. */
const closeGraceMs = 1000;

/** What a bus on Redis Streams is made of. */
export interface RedisEventBusOptions {
  /** `redis://user:password@host:port` of the events server. */
  readonly url: string;
  /** Partitions of each topic, 1 to 64. Recorded in the store on first use; another number is refused. */
  readonly partitions: number;
  /** Name of this process, for operators; need not be unique. */
  readonly instance: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly metrics: Metrics;
  /** Every topic that is published here or whose retention this process may look after. */
  readonly topics: readonly Topic[];
  /** Bytes that a topic may take in the server's memory before its oldest records go. Default 512 MiB. */
  readonly topicBytesMax?: number;
  /** Dead letters of a group and partition; beyond, the consumer waits for them to be redriven. Default 10 000. */
  readonly parkedMax?: number;
}

/**
 * The bus on Redis Streams. `start` sends and follows heartbeats and keeps retention; it fails when the store was made with another
 * number of partitions, and not when the server is away. How much of a `publish` is one step: see `createPublisher`.
 */
export function createRedisEventBus(options: RedisEventBusOptions): EventBus & Component {
  const { clock, random, log, topicBytesMax = topicBytesMaxDefault, parkedMax = parkedMaxDefault } = options;
  const redisOptions = { url: options.url, name: `events ${options.instance}`, clock, random, log };
  const client = connect(redisOptions, {});
  const keeper = createLeaseKeeper({ client, holder: `${options.instance} ${random.uuid()}`, clock, random, log });
  const topics = new Map([...options.topics, heartbeatTopic].map((topic) => [topic.name, topic]));

  let opened: Promise<void> | undefined;
  const open = (): Promise<void> =>
    (opened ??= checkPartitions().catch((error: unknown) => {
      opened = undefined;
      throw error;
    }));
  const checkPartitions = async (): Promise<void> => {
    if (client.status === "wait") await client.connect().catch(() => undefined); // The script below says so.
    const recorded = await openScript.run(client, [keys.meta], [options.partitions]);
    if (recorded === options.partitions) return;
    throw new MuinError({
      code: "failed_precondition",
      reason: "EVENTS_PARTITIONS",
      message: `the event store has ${recorded} partitions a topic and this process is set to ${options.partitions}: order per key would break; set it to ${recorded}`,
    });
  };

  const parts: BusParts = {
    client,
    openReader: (name) =>
      connect(
        { ...redisOptions, name: `events ${options.instance} ${name}`.replaceAll(" ", "-") },
        { enableAutoPipelining: false, socketTimeout: readerSilenceMsMax },
      ),
    keeper,
    open,
    partitions: Array.from({ length: options.partitions }, (_, partition) => partition),
    parkedMax,
    clock,
    random,
    log,
    meters: createBusMeters(options.metrics),
  };
  const groups = createGroups(parts);
  const deadLetters = createDeadLetters(groups, parts);
  const publish = createPublisher(topics, parts);

  const subscribed: Group[] = [];
  const subscribe: EventBus["subscribe"] = (subscription) => {
    if (subscription.kind === "everyInstance") return createInstanceConsumer(subscription, parts);
    subscribed.push(subscription);
    return createGroupConsumer(subscription, parts);
  };

  const leaseholder: EventBus["leaseholder"] = (lease, work) => {
    let claim: Claim | undefined;
    let stopped: Promise<void> | undefined;
    return {
      name: `holder of ${lease}`,
      start: () => {
        if (stopped !== undefined) return Promise.resolve();
        claim = keeper.claim({
          leases: [lease],
          work: async (_, { number, signal }) => {
            await open();
            await work({ lease, number }, signal);
          },
        });
        return Promise.resolve();
      },
      stop: () => (stopped ??= claim?.stop() ?? Promise.resolve()),
    };
  };

  const heartbeat = createHeartbeat({ publish, subscribe, leaseholder }, { clock, random });
  const own = createGroup("event bus", [
    heartbeat,
    ...[...topics.values()].map((topic) =>
      leaseholder(`retention:${topic.name}`, keepRetention(topic, topicBytesMax, parts)),
    ),
    groups.sampler(subscribed),
  ]);

  let closed: Promise<void> | undefined;
  const close = async (): Promise<void> => {
    const stopped = new AbortController();
    // A server that is stuck owes answers that nobody needs any more.
    void clock.sleep(closeGraceMs, stopped.signal).then(
      () => cutOff(client),
      () => undefined,
    );
    await own.stop();
    stopped.abort();
    cutOff(client); // First: the keeper waits for what it has asked.
    await keeper.stop();
  };

  return {
    name: "event bus",
    start: async () => {
      try {
        await open();
      } catch (error) {
        if (error instanceof MuinError && error.code === "failed_precondition") throw error;
        log.warn("the event store is away; events wait for it", { err: error });
      }
      await own.start();
    },
    stop: () => (closed ??= close()),
    close: () => (closed ??= close()),
    publish,
    subscribe,
    leaseholder,
    tail: (topic, how) => tailTopic(topic, how, parts),
    consumerStates: groups.states,
    listParked: deadLetters.listParked,
    redrive: deadLetters.redrive,
    replay: groups.replay,
    heartbeatReceivedAt: () => heartbeat.receivedAt(),
  };
}
