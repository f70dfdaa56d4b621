import { MuinError } from "../../errors/muin-error.ts";
import { createLeaseKeeper } from "../../lease/redis/lease-keeper.ts";
import { createSequence, type Component } from "../../lifecycle/component.ts";
import { connect, cutOff } from "../../redis/open-redis.ts";
import { createBrokerMeters } from "../broker-meters.ts";
import type { BrokerOptions, OpenBroker } from "../broker-opener.ts";
import type { Broker } from "../broker.ts";
import { createHeartbeat, heartbeatTopic } from "../heartbeat.ts";
import type { BrokerParts } from "./broker-parts.ts";
import { createConsumerGroups, type ConsumerGroup } from "./consumer-groups.ts";
import { createDeadLetters } from "./dead-letters.ts";
import { createGroupConsumer } from "./group-consumer.ts";
import { createInstanceConsumer } from "./instance-consumer.ts";
import { isKeyDenied, isKeySpoilt } from "./key-errors.ts";
import { createPublisher } from "./publish-records.ts";
import { createRetention } from "./retention.ts";
import { createSpoiltPlaces } from "./spoilt-places.ts";
import { tailTopic } from "./tail-topic.ts";
import { createTopicOpener } from "./topic-opener.ts";

/** Bytes of a topic's event records in the server's memory, unless set otherwise. */
const topicBytesMaxDefault = 512 << 20;
/** Dead letters of a consumer group and partition, unless set otherwise. */
const parkedMaxDefault = 10_000;
/** A connection with blocking reads that hears nothing for so long is cut. Reads block for much less. */
const readerSilenceMsMax = 3000;
/** Calls under way may take so long when the broker closes. */
const closeGraceMs = 1000;

/** Limits of a broker on Redis Streams. */
export interface RedisBrokerOptions extends BrokerOptions {
  /** Bytes that a topic may take in the server's memory before its oldest event records go. Default 512 MiB. */
  readonly topicBytesMax?: number;
  /** Dead letters of a consumer group and partition; beyond, the consumer waits for them to be redriven. Default 10 000. */
  readonly parkedMax?: number;
}

/**
 * Opens the broker on Redis Streams at `url`, `redis://user:password@host:port`. How much of a `publish` is one step, and when its
 * lease term is checked: see `createPublisher`.
 */
export function openRedisBroker(url: string, options: RedisBrokerOptions): OpenBroker {
  const { clock, random, leases, topicBytesMax = topicBytesMaxDefault } = options;
  const topics = new Map([...options.topics, heartbeatTopic].map((topic) => [topic.name, topic]));
  const parts = openParts(url, options, new Set(topics.keys()));
  const services = new Set(options.services);
  const groups = createConsumerGroups(services, parts);
  const isWithLeases = isSameServer(url, options.coordinationUrl);
  const publish = createPublisher({ ...parts, topics, leases, isWithLeases });

  const subscribed: ConsumerGroup[] = [];
  const subscribe: Broker["subscribe"] = (subscription) => {
    if (subscription.kind === "everyInstance") return createInstanceConsumer(subscription, parts);
    subscribed.push(subscription);
    services.add(subscription.service);
    return createGroupConsumer(subscription, parts);
  };

  const heartbeat = createHeartbeat({ broker: { publish, subscribe }, leases, clock, random });
  const own = createSequence("broker", [
    heartbeat,
    ...[...topics.values()].map((topic) => createRetention(topic, topicBytesMax, parts)),
    groups.sampler(subscribed),
  ]);

  let closed: Promise<void> | undefined;
  return {
    name: "broker",
    start: async () => {
      await openTopics([...topics.keys()], parts);
      await own.start();
    },
    stop: () => (closed ??= close(own, parts)),
    publish,
    subscribe,
    tail: (topic, how) => tailTopic(topic, how, parts),
    heartbeatReceivedAt: () => heartbeat.receivedAt(),
    deadLetters: createDeadLetters(groups, parts),
    consumerGroups: groups,
    spoilt: () => parts.spoilt.list().map((place) => `events: ${place} cannot be read for what stands in its key`),
  };
}

function openParts(url: string, options: RedisBrokerOptions, written: ReadonlySet<string>): BrokerParts {
  const { clock, random, log, instance, parkedMax = parkedMaxDefault } = options;
  const redisOptions = { url, name: `events ${instance}`, clock, random, log };
  const client = connect(redisOptions, {});
  const meters = createBrokerMeters(options.metrics);
  const shared = new Set([...(options.sharedTopics ?? []), heartbeatTopic.name]);
  return {
    client,
    openReader: (name) =>
      connect(
        { ...redisOptions, name: `events ${instance} ${name}`.replaceAll(" ", "-") },
        { enableAutoPipelining: false, socketTimeout: readerSilenceMsMax },
      ),
    keeper: createLeaseKeeper({ client, holder: `${instance} ${random.uuid()}`, clock, random, log }),
    open: createTopicOpener({ client, partitions: options.partitions, written, shared, log }),
    partitions: Array.from({ length: options.partitions }, (_, partition) => partition),
    parkedMax,
    clock,
    random,
    log,
    meters,
    spoilt: createSpoiltPlaces(meters),
  };
}

/**
 * Opens the topics on which this process publishes. Rejects when one has another number of partitions, and not for one whose keys are
 * spoilt, nor while the server is away.
 */
async function openTopics(topics: readonly string[], { open, log }: BrokerParts): Promise<void> {
  for (const topic of topics) {
    try {
      await open(topic);
    } catch (error) {
      if (error instanceof MuinError && error.code === "failed_precondition") throw error;
      if (!isKeySpoilt(error) && !isKeyDenied(error)) {
        log.warn("the event store is away; events wait for it", { err: error });
        return;
      }
      log.error("a topic cannot be used", { topic, err: error });
    }
  }
}

async function close(own: Component, { client, keeper, clock }: BrokerParts): Promise<void> {
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
}

/** Whether two URLs name the same keys of one server, seen with the same rights. Two names of one server count as two servers. */
function isSameServer(one: string, other: string): boolean {
  const [a, b] = [new URL(one), new URL(other)];
  return (
    a.host === b.host && a.username === b.username && a.pathname.replace(/^\/$/, "") === b.pathname.replace(/^\/$/, "")
  );
}
