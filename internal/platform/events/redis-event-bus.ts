import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { HeartbeatSchema } from "../../gen/muin/platform/v1/heartbeat_events_pb.ts";
import { type Component, createGroup } from "../app/component.ts";
import type { Clock } from "../clock/clock.ts";
import type { Random } from "../clock/random.ts";
import { MuinError } from "../errors/muin-error.ts";
import { connect, cutOff } from "../redis/open-redis.ts";
import type { Logger } from "../telemetry/logger.ts";
import type { Metrics } from "../telemetry/metrics.ts";
import {
  type ConsumerState,
  type EventBus,
  type EventRecord,
  type Fence,
  FencedError,
  type ParkedEvent,
  type Subscription,
} from "./event-bus.ts";
import { createLoop } from "../app/loop.ts";
import { type Claim, createLeaseKeeper } from "./lease-keeper.ts";
import { type ConsumerDeps, createGroupConsumer, createInstanceConsumer } from "./redis-consumer.ts";
import { fieldsOf, keys, partitionOf, type RawEntry, recordValues, toRecord } from "./redis-keys.ts";
import {
  fencedReply,
  newestScript,
  openScript,
  publishScript,
  redriveScript,
  replayScript,
  trimScript,
} from "./redis-scripts.ts";
import { createStreamReader } from "./stream-reader.ts";
import { createRecord, type Topic, topicOf } from "./topics.ts";

/** Records and bytes that one script call stores. */
const publishRecordsMax = 512;
const publishBytesMax = 4 << 20;
/** Bytes of a topic's records in the server's memory, unless set otherwise. */
const topicBytesMaxDefault = 512 << 20;
const heartbeatMs = 500;
/** A heartbeat says something for seconds; a week of them would be 1.2 million records. */
const heartbeatRetentionMs = 60_000;
const trimEveryMs = 2000;
const sampleEveryMs = 5000;
/** A consumer that reads from the bus to itself, such as the heartbeat's. */
const ownService = "platform";
/** A connection with blocking reads that hears nothing for so long is cut. Reads block for much less. */
const readerSilenceMsMax = 3000;
/** Calls under way may take so long when the bus closes. */
const closeGraceMs = 1000;
/** Either part of a stream's id. */
const streamIdPartMax = 2n ** 64n - 1n;
/** Records that a tail reads ahead of its caller. */
const tailRecordsMax = 1024;

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
}

/**
 * The bus on Redis Streams. A call of `publish` with at most 512 records and 4 MiB is one step, stored as a whole or not at all; a
 * larger one is several. Calls under way at the same time have no order between them. `start` sends and follows heartbeats and keeps retention; it fails when the store was made with another
 * number of partitions, and not when the server is away.
 */
export function createRedisEventBus(options: RedisEventBusOptions): EventBus & Component {
  const { url, partitions, clock, random, log, metrics } = options;
  const holder = `${options.instance} ${random.uuid()}`;
  const redisOptions = { url, name: `events ${options.instance}`, clock, random, log };
  const client = connect(redisOptions, {});
  const openReader: ConsumerDeps["openReader"] = (name) =>
    connect(
      { ...redisOptions, name: `events ${options.instance} ${name}`.replaceAll(" ", "-") },
      { enableAutoPipelining: false, socketTimeout: readerSilenceMsMax },
    );
  const keeper = createLeaseKeeper({ client, holder, clock, random, log });
  const topicBytesMax = options.topicBytesMax ?? topicBytesMaxDefault;
  const heartbeatTopic = topicOf(HeartbeatSchema);
  const topics = new Map(options.topics.map((topic) => [topic.name, topic]));
  topics.set(heartbeatTopic, { name: heartbeatTopic, retentionMs: heartbeatRetentionMs });
  const meters = createMeters(metrics);
  const allPartitions = Array.from({ length: partitions }, (_, partition) => partition);
  const subscribed = new Set<string>();
  let heartbeatAt = Number.NEGATIVE_INFINITY;

  let opened: Promise<void> | undefined;
  /** Resolves when the store is known to have as many partitions as this process believes. */
  const open = (): Promise<void> =>
    (opened ??= (async () => {
      if (client.status === "wait") await client.connect().catch(() => undefined); // The script below says so.
      const recorded = await openScript.run(client, [keys.meta], [partitions]);
      if (recorded === partitions) return;
      throw new MuinError({
        code: "failed_precondition",
        reason: "EVENTS_PARTITIONS",
        message: `the event store has ${recorded} partitions a topic and this process is set to ${partitions}: order per key would break; set it to ${recorded}`,
      });
    })().catch((error: unknown) => {
      opened = undefined;
      throw error;
    }));

  const deps: ConsumerDeps = {
    client,
    openReader,
    keeper,
    open,
    partitions,
    clock,
    random,
    log,
    counters: meters,
  };

  const publish: EventBus["publish"] = async (records, fence) => {
    if (records.length === 0) return;
    for (const { topic } of records) {
      if (!topics.has(topic)) throw new Error(`topic ${topic} is not among those of this bus`);
    }
    await open();
    for (const chunk of chunksOf(records)) {
      const { keyList, args } = publishArguments(chunk, fence, partitions);
      if ((await publishScript.run(client, keyList, args)) === fencedReply) {
        throw new FencedError(`lease ${fence?.lease} has a later holder`);
      }
      meters.batches.add(1);
      meters.published.add(chunk.length);
    }
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

  const subscribe = (subscription: Subscription) => {
    if (subscription.kind === "everyInstance") return createInstanceConsumer(subscription, deps);
    subscribed.add(`${subscription.service} ${subscription.topic}`);
    return createGroupConsumer(subscription, deps);
  };

  const stateOf = async (group: string): Promise<ConsumerState> => {
    const [service = "", topic = ""] = group.split(" ");
    const [position, counts, ...parked] = await Promise.all([
      client.hgetall(keys.group(service, topic)),
      client.hgetall(keys.topic(topic)),
      ...allPartitions.map((partition) => client.xlen(keys.parked(service, topic, partition))),
    ]);
    let lag = 0;
    for (const partition of allPartitions) {
      const added = Number(counts[`a${partition}`] ?? 0);
      lag += Math.max(0, added - Number(position[`o${partition}`] ?? counts[`r${partition}`] ?? 0));
    }
    return {
      service,
      topic,
      lag,
      deadLetters: parked.reduce((sum, count) => sum + count, 0),
      lost: allPartitions.some((partition) => position[`l${partition}`] !== undefined),
    };
  };

  const groups = async (): Promise<readonly string[]> => {
    await open();
    return (await client.smembers(keys.groups)).toSorted();
  };

  const listParked: EventBus["listParked"] = async ({ service, pageSize, pageToken }) => {
    const sources = (await groups())
      .map((group) => group.split(" ") as [string, string])
      .filter(([owner]) => service === undefined || owner === service)
      .flatMap(([owner, topic]) => allPartitions.map((partition) => ({ service: owner, topic, partition })));
    const after = parsePageToken(pageToken);
    const found: (ParkedEvent & { readonly order: string })[] = [];
    await Promise.all(
      sources.map(async (source) => {
        const key = keys.parked(source.service, source.topic, source.partition);
        // Ids of different streams can be equal: the name decides between them.
        const from = after === undefined ? "-" : key > after.key ? after.id : `(${after.id}`;
        const entries = await client.xrangeBuffer(key, from, "+", "COUNT", pageSize);
        if (entries.length === 0) return;
        const again = await client.hmget(
          keys.parkedKeys(source.service, source.topic, source.partition),
          ...entries.map(([id]) => `f${id.toString()}`),
        );
        for (const [index, entry] of entries.entries()) {
          found.push(toParked(source.service, source.topic, key, entry, again[index] ?? null));
        }
      }),
    );
    const page = found.toSorted((a, b) => (a.order < b.order ? -1 : 1)).slice(0, pageSize);
    const last = page.at(-1);
    const nextPageToken = last !== undefined && page.length < found.length ? last.deadLetterId : "";
    // Sources that gave a whole page may have more, which the token reaches too.
    const isFull = last !== undefined && page.length === pageSize;
    return { parked: page, nextPageToken: isFull ? last.deadLetterId : nextPageToken };
  };

  const redrive: EventBus["redrive"] = async (service, subject) => {
    const own = (await groups()).map((group) => group.split(" ") as [string, string]);
    const partitionsOf = subject === undefined ? allPartitions : [partitionOf(subject, partitions)];
    const counts = await Promise.all(
      own
        .filter(([owner]) => owner === service)
        .flatMap(([, topic]) =>
          partitionsOf.map((partition) =>
            redriveScript.run(
              client,
              [
                keys.parkedKeys(service, topic, partition),
                keys.redriven(service, topic, partition),
                keys.group(service, topic),
              ],
              [partition, subject ?? ""],
            ),
          ),
        ),
    );
    return counts.reduce((sum, count) => sum + count, 0);
  };

  const replay: EventBus["replay"] = async (service, topic) => {
    await open();
    const perPartition = allPartitions.flatMap((partition) => [
      keys.parked(service, topic, partition),
      keys.parkedKeys(service, topic, partition),
      keys.redriven(service, topic, partition),
    ]);
    const generation = await replayScript.run(
      client,
      [keys.group(service, topic), keys.topic(topic), ...perPartition],
      [],
    );
    if (generation > 0) return generation;
    throw new MuinError({
      code: "not_found",
      reason: "CONSUMER_NOT_FOUND",
      message: `service ${service} never consumed topic ${topic}`,
    });
  };

  async function* tail(
    topic: string,
    { fromStart, signal }: { readonly fromStart: boolean; readonly signal: AbortSignal },
  ): AsyncGenerator<EventRecord> {
    await open();
    const streams = allPartitions.map((partition) => keys.stream(topic, partition));
    const [, ...newest] = await newestScript.run(client, streams, []);
    const reader = createStreamReader({ connection: openReader("tail"), topic, group: undefined, clock, log });
    const ended = new AbortController();
    const stop = AbortSignal.any([signal, ended.signal]);
    const queue: EventRecord[] = [];
    let arrived = Promise.withResolvers<void>();
    let taken = Promise.withResolvers<void>();
    const read = async (partition: number): Promise<void> => {
      const cursor = reader.open(partition, fromStart ? "0-0" : (newest[partition]?.toString() ?? "0-0"));
      while (!stop.aborted) {
        const { entries } = await cursor.take(stop);
        for (const entry of entries) queue.push(toRecord(topic, fieldsOf(entry)));
        arrived.resolve();
        while (queue.length >= tailRecordsMax && !stop.aborted) await taken.promise;
      }
    };
    stop.addEventListener(
      "abort",
      () => {
        arrived.resolve();
        taken.resolve();
      },
      { once: true },
    );
    const reading = Promise.allSettled(allPartitions.map(read)); // A take ends by the abort, and only by it.
    try {
      while (!stop.aborted) {
        arrived = Promise.withResolvers();
        if (queue.length === 0) await arrived.promise;
        yield* queue.splice(0);
        const { resolve } = taken;
        taken = Promise.withResolvers();
        resolve();
      }
    } finally {
      ended.abort();
      taken.resolve();
      await reader.stop();
      await reading;
    }
  }

  const beat = async (fence: Fence, signal: AbortSignal): Promise<void> => {
    const source = "/muin/platform";
    while (!signal.aborted) {
      const sentMs = clock.monotonic();
      const message = create(HeartbeatSchema, { sender: "bus", time: timestampFromMs(clock.now()) });
      try {
        await publish([createRecord(HeartbeatSchema, message, { source, clock, random, traceparent: "" })], fence);
      } catch (error) {
        if (error instanceof FencedError) return;
        // The server is away: the missing heartbeat says so to everybody.
      }
      const restMs = Math.max(0, heartbeatMs - (clock.monotonic() - sentMs));
      await clock.sleep(restMs, signal).catch(() => undefined); // Ends the loop.
    }
  };

  const keepRetention = (topic: Topic) => async (_: Fence, signal: AbortSignal) => {
    while (!signal.aborted) {
      const bytes = Math.floor(topicBytesMax / partitions);
      await Promise.all(
        allPartitions.map((partition) =>
          trimScript
            .run(
              client,
              [keys.stream(topic.name, partition), keys.topic(topic.name)],
              [partition, topic.retentionMs, bytes],
            )
            .catch(() => undefined),
        ),
      ); // A server that is away is trimmed when it is back.
      await clock.sleep(trimEveryMs, signal).catch(() => undefined); // Ends the loop.
    }
  };

  const sampler = createLoop({
    name: "consumer sampler",
    clock,
    everyMs: sampleEveryMs,
    work: async () => {
      for (const group of subscribed) {
        const { service, topic, lag, deadLetters, lost } = await stateOf(group);
        meters.lag.set(lag, { service, topic });
        meters.deadLetters.set(deadLetters, { service, topic });
        meters.isLost.set(lost ? 1 : 0, { service, topic });
      }
    },
    onFailure: () => undefined, // The store is away; its probe says so.
  });

  const own = createGroup("event bus", [
    leaseholder("heartbeat", beat),
    createInstanceConsumer(
      {
        service: ownService,
        topic: heartbeatTopic,
        types: [HeartbeatSchema.typeName],
        kind: "everyInstance",
        onFailure: "skip",
        backMs: 0,
        attemptsMax: 1,
        handle: () => {
          heartbeatAt = clock.monotonic();
          return Promise.resolve();
        },
      },
      deps,
    ),
    ...[...topics.values()].map((topic) => leaseholder(`retention:${topic.name}`, keepRetention(topic))),
    sampler,
  ]);

  let closed: Promise<void> | undefined;
  const close = (): Promise<void> =>
    (closed ??= (async () => {
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
    })());

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
    stop: close,
    close,
    publish,
    subscribe,
    leaseholder,
    tail,
    consumerStates: async () => Promise.all((await groups()).map(stateOf)),
    listParked,
    redrive,
    replay,
    heartbeatReceivedAt: () => heartbeatAt,
  };
}

function createMeters(metrics: Metrics) {
  const labels = ["service", "topic"] as const;
  return {
    published: metrics.counter({ name: "events_published_total", help: "Events stored on the bus." }),
    batches: metrics.counter({ name: "events_publish_batches_total", help: "Calls that stored events on the bus." }),
    handled: metrics.counter({ name: "events_handled_total", help: "Events handled.", labels }),
    retries: metrics.counter({ name: "events_retries_total", help: "Further attempts at an event.", labels }),
    parked: metrics.counter({ name: "events_parked_total", help: "Events given up on or waiting behind one.", labels }),
    lost: metrics.counter({ name: "events_lost_total", help: "Events removed before they were handled.", labels }),
    lag: metrics.gauge({ name: "events_lag", help: "Events stored and not yet handled.", labels }),
    deadLetters: metrics.gauge({ name: "events_dead_letters", help: "Events waiting to be redriven.", labels }),
    isLost: metrics.gauge({ name: "events_consumer_lost", help: "1 when the consumer must be rebuilt.", labels }),
  };
}

/** Runs of records that one script call stores, in order. */
function* chunksOf(records: readonly EventRecord[]): Generator<readonly EventRecord[]> {
  let chunk: EventRecord[] = [];
  let bytes = 0;
  for (const record of records) {
    if (chunk.length === publishRecordsMax || (chunk.length > 0 && bytes + record.data.length > publishBytesMax)) {
      yield chunk;
      [chunk, bytes] = [[], 0];
    }
    chunk.push(record);
    bytes += record.data.length;
  }
  yield chunk;
}

function publishArguments(records: readonly EventRecord[], fence: Fence | undefined, partitions: number) {
  const byStream = new Map<string, { topic: string; partition: number; values: (string | number | Uint8Array)[][] }>();
  for (const record of records) {
    const partition = partitionOf(record.subject, partitions);
    const stream = keys.stream(record.topic, partition);
    const part = byStream.get(stream);
    if (part === undefined) byStream.set(stream, { topic: record.topic, partition, values: [recordValues(record)] });
    else part.values.push(recordValues(record));
  }
  const keyList = [fence === undefined ? keys.meta : keys.lease(fence.lease)];
  const args: (string | number | Uint8Array)[] = [fence?.number ?? ""];
  for (const [stream, { topic, partition, values }] of byStream) {
    keyList.push(keys.topic(topic), stream);
    args.push(partition, values.length);
    for (const value of values) args.push(...value);
  }
  return { keyList, args };
}

/** A dead letter's id, which is the page token of what comes after it: stream id, then the stream's name. */
function parsePageToken(token: string): { readonly id: string; readonly key: string } | undefined {
  if (token === "") return undefined;
  const [, ms = "", sequence = "", key = ""] = /^(\d{1,20})-(\d{1,20}) (\S{1,400})$/.exec(token) ?? [];
  if (key !== "" && BigInt(ms) <= streamIdPartMax && BigInt(sequence) <= streamIdPartMax) {
    return { id: `${ms}-${sequence}`, key };
  }
  throw new MuinError({
    code: "invalid_argument",
    reason: "INVALID_PAGE_TOKEN",
    message: "page_token is not one that a previous page returned",
  });
}

function toParked(
  service: string,
  topic: string,
  key: string,
  entry: RawEntry,
  failedAgain: string | null,
): ParkedEvent & { readonly order: string } {
  const fields = fieldsOf(entry);
  const id = entry[0].toString();
  const [ms = "", sequence = ""] = id.split("-");
  const failure = failedAgain === null ? undefined : (JSON.parse(failedAgain) as { reason: string; attempts: number });
  return {
    deadLetterId: `${id} ${key}`,
    service,
    record: toRecord(topic, fields),
    reason: failure?.reason ?? fields.get("reason")?.toString() ?? "",
    attempts: failure?.attempts ?? Number(fields.get("attempts")),
    parkTimeMs: Number(ms),
    order: `${ms.padStart(20, "0")}-${sequence.padStart(20, "0")} ${key}`,
  };
}
