import type { Redis } from "ioredis";
import { MuinError } from "../../errors/muin-error.ts";
import { createLeaseKeeper } from "../../lease/redis/lease-keeper.ts";
import { createSequence, type Component } from "../../lifecycle/component.ts";
import { connect, cutOff } from "../../redis/open-redis.ts";
import { createBrokerMeters } from "../broker-meters.ts";
import type { BrokerOptions, OpenBroker } from "../broker-opener.ts";
import type { Broker } from "../broker.ts";
import { eventErrors } from "../errors.ts";
import { createHeartbeat, heartbeatTopic } from "../heartbeat.ts";
import type { BrokerParts } from "./broker-parts.ts";
import { createConsumerGroups, type ConsumerGroup } from "./consumer-groups.ts";
import { createDeadLetters } from "./dead-letters.ts";
import { createGroupConsumer } from "./group-consumer.ts";
import { createInstanceConsumer } from "./instance-consumer.ts";
import { keys } from "./keys.ts";
import { createPublisher } from "./publish-records.ts";
import { createRetention } from "./retention.ts";
import { openScript } from "./scripts.ts";
import { tailTopic } from "./tail-topic.ts";

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
  const { clock, random, log, leases, topicBytesMax = topicBytesMaxDefault } = options;
  const parts = openParts(url, options);
  const topics = new Map([...options.topics, heartbeatTopic].map((topic) => [topic.name, topic]));
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
      try {
        await parts.open();
      } catch (error) {
        if (error instanceof MuinError && error.code === "failed_precondition") throw error;
        log.warn("the event store is away; events wait for it", { err: error });
      }
      await own.start();
    },
    stop: () => (closed ??= close(own, parts)),
    publish,
    subscribe,
    tail: (topic, how) => tailTopic(topic, how, parts),
    heartbeatReceivedAt: () => heartbeat.receivedAt(),
    deadLetters: createDeadLetters(groups, parts),
    consumerGroups: groups,
  };
}

function openParts(url: string, options: RedisBrokerOptions): BrokerParts {
  const { clock, random, log, instance, parkedMax = parkedMaxDefault } = options;
  const redisOptions = { url, name: `events ${instance}`, clock, random, log };
  const client = connect(redisOptions, {});
  let opened: Promise<void> | undefined;
  return {
    client,
    openReader: (name) =>
      connect(
        { ...redisOptions, name: `events ${instance} ${name}`.replaceAll(" ", "-") },
        { enableAutoPipelining: false, socketTimeout: readerSilenceMsMax },
      ),
    keeper: createLeaseKeeper({ client, holder: `${instance} ${random.uuid()}`, clock, random, log }),
    open: () =>
      (opened ??= checkPartitions(client, options.partitions).catch((error: unknown) => {
        opened = undefined;
        throw error;
      })),
    partitions: Array.from({ length: options.partitions }, (_, partition) => partition),
    parkedMax,
    clock,
    random,
    log,
    meters: createBrokerMeters(options.metrics),
  };
}

/** Records the number of partitions in a new store. Rejects when it has another number. */
async function checkPartitions(client: Redis, given: number): Promise<void> {
  if (client.status === "wait") await client.connect().catch(() => undefined); // The script below says so.
  const recorded = await openScript.run(client, [keys.topic(heartbeatTopic.name)], [given, keys.meta]);
  if (recorded === given) return;
  throw eventErrors.eventsPartitions({ recorded: String(recorded), given: String(given) });
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
