import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { eventsRights } from "../../catalog/bus-rights.ts";
import { systemClock } from "../../clock/clock.ts";
import { systemRandom } from "../../clock/random.ts";
import { openRedis } from "../../redis/open-redis.ts";
import { eventually } from "../../testing/eventually.ts";
import { createHeldClock } from "../../testing/held-clock.ts";
import { startRedis } from "../../testing/redis.ts";
import { createMetrics } from "../../telemetry/create-metrics.ts";
import type { Skip } from "../../testing/contract.ts";
import { describeBroker } from "../contract/broker.contract.ts";
import { successionTests } from "../contract/succession.contract.ts";
import { termTests } from "../contract/terms.contract.ts";
import type { Subscription } from "../broker.ts";
import { EventRefusedError, type EventRecord } from "../../service/event-record.ts";
import type { Logger } from "../../telemetry/logger.ts";
import { connectBus, silentLog } from "./redis-broker-fixture.ts";
import { expectPromised } from "../../testing/promise.ts";

const skip: readonly Skip[] = [];

describeBroker(
  "Broker on Redis Streams",
  async () => {
    const server = await startRedis({ appendfsync: "always" });
    return {
      createBus: (config) => connectBus(server.url, config),
      crash: async () => {
        await server.kill("SIGKILL");
        await server.restart();
      },
      module: join(import.meta.dir, "redis-broker-fixture.ts"),
      connection: server.url,
      lateCallsMax: 0,
      [Symbol.asyncDispose]: () => server.stop(),
    };
  },
  { skip },
);

describeBroker(
  "Broker on Redis Streams, with leases on another server",
  async () => {
    const [server, coordination] = await Promise.all([
      startRedis({ appendfsync: "always" }),
      startRedis({ appendfsync: "always" }),
    ]);
    const connection = `${server.url} ${coordination.url}`;
    return {
      createBus: (config) => connectBus(connection, config),
      crash: async () => {
        await Promise.all([server.kill("SIGKILL"), coordination.kill("SIGKILL")]);
        await Promise.all([server.restart(), coordination.restart()]);
      },
      module: join(import.meta.dir, "redis-broker-fixture.ts"),
      connection,
      lateCallsMax: 1,
      [Symbol.asyncDispose]: async () => {
        await Promise.all([server.stop(), coordination.stop()]);
      },
    };
  },
  { skip, only: [termTests, successionTests] },
);

test("Redis skips no test of the contract", () => {
  expect(skip).toEqual([]);
});

describe("Redis Streams", () => {
  const topic = { name: "test.topic", retentionMs: 3_600_000 };

  test("another number of partitions is refused by name, also to one that came while the server was away", async () => {
    await using server = await startRedis({ appendfsync: "no" });
    const first = connectBus(server.url, { instance: "first", topics: [topic] });
    await first.start();
    await first.stop();
    const other = connectBus(server.url, { instance: "other", topics: [topic], partitions: 8 });
    expect(await other.start().catch(String)).toContain("the event store has 4 partitions");
    expect(await other.publish([record("k")]).catch(String)).toContain("the event store has 4 partitions");
    await other.stop();
  });

  test.each([
    ["another number for the heartbeats", ["HSET", "events:topic:platform.heartbeat", "partitions", "5"], "4 5"],
    ["no number for the heartbeats", ["HSET", "events:topic:platform.heartbeat", "partitions", "x"], "4 0"],
    ["another type in the place of the heartbeats' counts", ["SET", "events:topic:platform.heartbeat", "x"], "4 0"],
    ["another number for a topic of several services", ["HSET", "events:topic:test.shared", "partitions", "5"], "4 5"],
  ] as const)("%s stops no start and no other topic, and is said", async (_, [name, ...args], said) => {
    await using server = await startRedis({ appendfsync: "no" });
    const redis = openRedis({ url: server.url, name: "test" });
    await redis.start();
    await redis.client.call(name, ...args);
    const notices: string[] = [];
    const log: Logger = {
      ...silentLog,
      warn: (_message, { topic: of, partitions, recorded } = {}) =>
        void notices.push([of, partitions, recorded].map(String).join(" ")),
    };
    const shared = { ...topic, name: "test.shared" };
    const bus = connectBus(server.url, { instance: "one", topics: [topic, shared], sharedTopics: [shared.name], log });
    await bus.start();
    const got: string[] = [];
    const consumers = [topic, shared].map((one) =>
      bus.subscribe({ ...groupOf(async (event) => void got.push(event.topic)), topic: one.name }),
    );
    for (const consumer of consumers) await consumer.start();
    await bus.publish([record("k")]);
    await bus.publish([{ ...record("k"), topic: shared.name }]);
    await eventually(() => expect(got.toSorted()).toEqual(["test.shared", "test.topic"]));
    expect(notices).toEqual([`${args[0].slice("events:topic:".length)} ${said}`]);
    for (const consumer of consumers) await consumer.stop();
    await bus.stop();
    await redis.stop();
  });

  test("who only reads a topic takes the number of partitions from who writes it, and reads none of another", async () => {
    await using server = await startRedis({ appendfsync: "no" });
    const writer = connectBus(server.url, { instance: "writer", topics: [topic] });
    await writer.start();
    await writer.publish([record("k")]);
    const reader = connectBus(server.url, { instance: "reader", topics: [], partitions: 2 });
    await reader.start();
    const tail = reader.tail(topic.name, { fromStart: true, signal: AbortSignal.timeout(5000) });
    expect(await tail[Symbol.asyncIterator]().next().catch(String)).toContain("the event store has 4 partitions");
    await reader.stop();
    await writer.stop();
  });

  test("a topic keeps to its bytes", async () => {
    await using server = await startRedis({ appendfsync: "no" });
    const bus = connectBus(server.url, { instance: "bytes", topics: [topic], topicBytesMax: 4 << 20 });
    const redis = openRedis({ url: server.url, name: "test" });
    await redis.start();
    await bus.start();
    for (let sent = 0; sent < 160; sent++) await bus.publish([record(`key-${sent}`, new Uint8Array(100_000))]);
    await eventually(async () => {
      const sizes = await Promise.all(
        [0, 1, 2, 3].map((p) => redis.client.memory("USAGE", `events:stream:${topic.name}:${p}`)),
      );
      expect(sizes.reduce((sum: number, size) => sum + Number(size), 0)).toBeLessThan(5 << 20);
      expect(Math.min(...sizes.map(Number))).toBeGreaterThan(500_000);
    });
    await bus.stop();
    await redis.stop();
  });

  test("a consumer behind the bytes of its topic is lost, and its metric says so", async () => {
    await using server = await startRedis({ appendfsync: "no" });
    const metrics = createMetrics();
    const bus = connectBus(server.url, { instance: "lost", topics: [topic], topicBytesMax: 4 << 20, metrics });
    await bus.start();
    const [begun, mayGoOn] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const consumer = bus.subscribe(
      groupOf(() => {
        begun.resolve();
        return mayGoOn.promise;
      }),
    );
    await consumer.start();
    await bus.publish([record("k")]);
    await begun.promise;
    // More than is read ahead, so that what is removed had not been read.
    for (let sent = 0; sent < 100; sent++) await bus.publish([record("k", new Uint8Array(100_000))]);
    const oldest = async (): Promise<EventRecord | undefined> => {
      for await (const one of bus.tail(topic.name, { fromStart: true, signal: AbortSignal.timeout(5000) })) return one;
      return undefined;
    };
    await eventually(async () => expect((await oldest())?.data).toHaveLength(100_000));
    mayGoOn.resolve();
    await eventually(async () => expect((await bus.consumerGroups.states())[0]).toMatchObject({ lost: true, lag: 0 }));
    const lost = 'muin_events_consumer_lost{service="one",topic="test.topic"} 1';
    await eventually(async () => expect(await metrics.render()).toContain(lost), { timeoutMs: 20_000 });
    await consumer.stop();
    await bus.stop();
  });

  test("a consumer with too many dead letters waits until some are redriven, and goes on in order", async () => {
    await using server = await startRedis({ appendfsync: "no" });
    const bus = connectBus(server.url, { instance: "full", topics: [topic], parkedMax: 3 });
    await bus.start();
    let isBroken = true;
    const handled: number[] = [];
    const consumer = bus.subscribe(
      groupOf(async ({ data }) => {
        if (isBroken) throw new Error("not yet");
        handled.push(...data);
      }),
    );
    await consumer.start();
    await bus.publish([0, 1, 2, 3, 4].map((number) => record("k", new Uint8Array([number]))));
    const state = async () => (await bus.consumerGroups.states())[0];
    await eventually(async () => expect(await state()).toMatchObject({ deadLetters: 3, lag: 2 }));
    isBroken = false;
    expect(await bus.deadLetters.redrive("one", undefined)).toBe(3);
    await eventually(() => expect(handled).toEqual([0, 1, 2, 3, 4]));
    await eventually(async () => expect(await state()).toMatchObject({ deadLetters: 0, lag: 0 }));
    await consumer.stop();
    await bus.stop();
  });

  test("a heartbeat is sent every 500 ms, and by another process when its sender has gone", async () => {
    await using server = await startRedis({ appendfsync: "no" });
    const clock = createHeldClock();
    const first = connectBus(server.url, { instance: "first", topics: [], clock });
    await first.start();
    const sent: EventRecord[] = [];
    const stop = new AbortController();
    const watching = (async () => {
      for await (const beat of first.tail("platform.heartbeat", { fromStart: true, signal: stop.signal }))
        sent.push(beat);
    })();
    for (let beats = 1; beats < 4; beats++) {
      await eventually(() => expect(sent).toHaveLength(beats));
      await eventually(() => expect(clock.asleep()).toContain(500));
      await clock.pass(500);
    }
    const second = connectBus(server.url, { instance: "second", topics: [] });
    await second.start();
    stop.abort();
    await watching;
    await first.stop();
    for (let heardAtMs = systemClock.monotonic(), beats = 0; beats < 3; beats++) {
      await eventually(() => expect(second.heartbeatReceivedAt()).toBeGreaterThan(heardAtMs));
      heardAtMs = second.heartbeatReceivedAt();
    }
    await second.stop();
  });

  test("a group that gathers reads its other partitions as seldom as its pause allows", async () => {
    await using server = await startRedis({ appendfsync: "no" });
    const clock = createHeldClock();
    const bus = connectBus(server.url, { instance: "gathering", topics: [topic], clock });
    await bus.start();
    const rounds: number[] = [];
    const consumer = bus.subscribe({
      ...groupOf(() => Promise.resolve()),
      gatherMs: 100,
      handleTogether: (records) => {
        rounds.push(records.length);
        return Promise.resolve();
      },
    });
    await consumer.start();
    await bus.publish([record("k")]);
    await eventually(() => expect(rounds).toEqual([1]));
    await bus.publish([record("k")]); // Read ahead, and taken after the pause: from then on only the others can be read.
    await eventually(() => expect(clock.asleep()).toContain(50), { unless: () => clock.asleep().includes(5) });
    expect(rounds).toEqual([1]);
    await consumer.stop();
    await bus.stop();
  });

  test("everything lies under two prefixes, and its user needs no more than that", async () => {
    await using server = await startRedis({ appendfsync: "no" });
    const redis = openRedis({ url: server.url, name: "test" });
    await redis.start();
    const use = { services: ["one"], writes: [topic.name, "platform.heartbeat"], reads: ["platform.heartbeat"] };
    await redis.client.acl("SETUSER", "bus", ">secret", ...eventsRights("bus", use).rules);
    const url = new URL(server.url);
    [url.username, url.password] = ["bus", "secret"];
    const bus = connectBus(url.href, { instance: "acl", topics: [topic] });
    await bus.start();
    const got: string[] = [];
    const consumer = bus.subscribe(groupOf(async ({ subject }) => void got.push(subject)));
    await consumer.start();
    await bus.publish([record("k")]);
    await eventually(() => expect(got).toEqual(["k"]));
    await eventually(() => expect(bus.heartbeatReceivedAt()).toBeGreaterThan(0));
    const others = (await redis.client.keys("*")).filter((key) => !/^(events|coordination):/.test(key));
    expect(others).toEqual([]);
    await consumer.stop();
    await bus.stop();
    await redis.stop();
  });

  test("an event of a topic whose keys the server denies is refused for itself, and one that no event may be sent with is not", async () => {
    await using server = await startRedis({ appendfsync: "no" });
    const redis = openRedis({ url: server.url, name: "test" });
    await redis.start();
    const keys = ["meta", "lease:*", "topic:*", "stream:test.topic:*"].map((pattern) => `~events:${pattern}`);
    await redis.client.acl("SETUSER", "narrow", "on", ">secret", "+@all", "&*", "~coordination:*", ...keys);
    const url = new URL(server.url);
    [url.username, url.password] = ["narrow", "secret"];
    const denied = { name: "test.denied", retentionMs: 3_600_000 };
    const bus = connectBus(url.href, { instance: "narrow", topics: [topic, denied] });
    await bus.start();
    const publish = (name: string) => bus.publish([{ ...record("k"), topic: name }]).catch((error: unknown) => error);
    expect(await publish(denied.name)).toBeInstanceOf(EventRefusedError);
    expect(await publish(topic.name)).toBeUndefined();
    await redis.client.acl("SETUSER", "narrow", "-evalsha");
    const failure = await publish(topic.name);
    expect(failure).toBeInstanceOf(Error);
    expect(failure).not.toBeInstanceOf(EventRefusedError);
    await bus.stop();
    await redis.stop();
  });

  test.each([
    ["another type in the place of a stream", ["SET", "events:stream:test.spoilt:P", "x"]],
    [
      "the last id that there can be",
      ["XADD", "events:stream:test.spoilt:P", "18446744073709551615-18446744073709551615", "a", "b"],
    ],
    ["another type in the place of the counts", ["SET", "events:topic:test.spoilt", "x"]],
    ["a count that is no number", ["HSET", "events:topic:test.spoilt", "aP", "x"]],
    ["the last count that there can be", ["HSET", "events:topic:test.spoilt", "aP", "9223372036854775807"]],
  ] as const)("an event of a topic that was spoilt by %s is refused for itself", async (_, command) => {
    await using server = await startRedis({ appendfsync: "no" });
    const redis = openRedis({ url: server.url, name: "test" });
    await redis.start();
    const spoilt = { name: "test.spoilt", retentionMs: 3_600_000 };
    const bus = connectBus(server.url, { instance: "spoilt", topics: [topic, spoilt] });
    const publish = (name: string) => bus.publish([{ ...record("k"), topic: name }]).catch((error: unknown) => error);
    const [called, ...args] = command.map((word) => word.replace("P", String(Bun.hash.crc32("k") % 4)));
    await redis.client.call(called ?? "", ...args);
    expect(await publish(spoilt.name)).toBeInstanceOf(EventRefusedError);
    expect(await publish(topic.name)).toBeUndefined();
    await bus.stop();
    await redis.stop();
  });

  test.each(["before the consumers begin", "while they read"])(
    "a partition whose key is spoilt %s keeps no consumer from the others, is named, and goes on once it is good again",
    async (when) => {
      await using server = await startRedis({ appendfsync: "no" });
      const redis = openRedis({ url: server.url, name: "test" });
      await redis.start();
      const named: unknown[] = [];
      const log: Logger = {
        ...silentLog,
        error: (_message, fields) => void named.push(fields?.["key"]),
        child: () => log,
      };
      const metrics = createMetrics();
      const bus = connectBus(server.url, { instance: "one", topics: [topic], log, metrics });
      await bus.start();
      const subjects = subjectsByPartition(4);
      const got = { group: [] as string[], instance: [] as string[], tail: [] as string[] };
      const group = bus.subscribe(groupOf(async ({ subject }) => void got.group.push(subject)));
      const instance = bus.subscribe({
        ...groupOf(async ({ subject }) => void got.instance.push(subject)),
        kind: "everyInstance",
        backMs: 60_000,
      });
      const spoil = () => redis.client.set(`events:stream:${topic.name}:1`, "x");
      const publish = (partitions: readonly number[]) =>
        bus.publish(partitions.map((partition) => record(subjects[partition]!)));
      const stop = new AbortController();
      const begin = async () => {
        await group.start();
        await instance.start();
        const reading = (async () => {
          for await (const { subject } of bus.tail(topic.name, { fromStart: true, signal: stop.signal }))
            got.tail.push(subject);
        })();
        return { reading };
      };
      const haveAll = (partitions: readonly number[]) =>
        eventually(() => {
          const wanted = partitions.map((partition) => subjects[partition]!).toSorted();
          for (const seen of Object.values(got)) expect(seen.toSorted()).toEqual(wanted);
        });
      if (when !== "while they read") await spoil();
      const tailing = await begin();
      if (when === "while they read") {
        await publish([0]);
        await haveAll([0]);
        await spoil();
        await publish([0, 2, 3]);
        await haveAll([0, 0, 2, 3]);
      } else {
        await publish([0, 0, 2, 3]);
        await haveAll([0, 0, 2, 3]);
      }
      await eventually(() => expect(named).toHaveLength(3)); // Once by each reader.
      expect(bus.spoilt()).toEqual(["events: partition 1 of test.topic cannot be read for what stands in its key"]);
      expect(await metrics.render()).toContain('muin_events_spoilt_places{topic="test.topic"} 1');
      expect(new Set(named)).toEqual(new Set([`events:stream:${topic.name}:1`]));
      await redis.client.del(`events:stream:${topic.name}:1`);
      await publish([1]);
      await haveAll([0, 0, 1, 2, 3]);
      await eventually(() => expect(bus.spoilt()).toEqual([]));
      expect(await metrics.render()).toContain('muin_events_spoilt_places{topic="test.topic"} 0');
      stop.abort();
      await tailing.reading;
      for (const consumer of [group, instance]) await consumer.stop();
      await bus.stop();
      await redis.stop();
    },
  );

  test("a consumer group of which the store keeps what cannot be read is named, and hides no other", async () => {
    await using server = await startRedis({ appendfsync: "no" });
    const redis = openRedis({ url: server.url, name: "test" });
    await redis.start();
    const other = { ...topic, name: "test.other" };
    const bus = connectBus(server.url, { instance: "one", topics: [topic, other] });
    await bus.start();
    const consumers = [topic, other].map(({ name }) =>
      bus.subscribe({ ...groupOf(() => Promise.resolve()), topic: name }),
    );
    for (const consumer of consumers) await consumer.start();
    const topics = async () => (await bus.consumerGroups.states()).map((state) => state.topic);
    await eventually(async () => expect(await topics()).toEqual(["test.other", "test.topic"]));
    for (const consumer of consumers) await consumer.stop();
    await redis.client.set("events:topic:test.other", "x");
    expect(await topics()).toEqual(["test.topic"]);
    expect(bus.spoilt()).toEqual([
      "events: the consumer group of one on test.other cannot be read for what stands in its key",
    ]);
    await redis.client.del("events:topic:test.other");
    expect(await topics()).toEqual(["test.other", "test.topic"]);
    expect(bus.spoilt()).toEqual([]);
    await bus.stop();
    await redis.stop();
  });

  test("with leases on another server each server keeps its own keys", async () => {
    await using server = await startRedis({ appendfsync: "no" });
    await using coordination = await startRedis({ appendfsync: "no" });
    const bus = connectBus(`${server.url} ${coordination.url}`, { instance: "apart", topics: [topic] });
    await bus.start();
    const consumer = bus.subscribe(groupOf(() => Promise.resolve()));
    await consumer.start();
    await bus.publish([record("k")]);
    await eventually(() => expect(bus.heartbeatReceivedAt()).toBeGreaterThan(0)); // Sent in a lease term.
    for (const [{ url }, prefix] of [
      [server, "events:"],
      [coordination, "coordination:"],
    ] as const) {
      const redis = openRedis({ url, name: "test" });
      await redis.start();
      const keys = await redis.client.keys("*");
      expect(keys.length).toBeGreaterThan(0);
      expect(keys.filter((key) => !key.startsWith(prefix))).toEqual([]);
      await redis.stop();
    }
    await consumer.stop();
    await bus.stop();
  });

  test("the server away: start, consumers and stop do not hang, and all begins when it comes", async () => {
    await using server = await startRedis({ appendfsync: "no" });
    await server.kill("SIGKILL");
    const bus = connectBus(server.url, { instance: "away", topics: [topic] });
    await bus.start();
    const got: string[] = [];
    const consumer = bus.subscribe({
      ...groupOf(async ({ subject }) => void got.push(subject)),
      kind: "everyInstance",
      backMs: 60_000,
    });
    await consumer.start();
    expect(await bus.publish([record("k")]).catch((error: unknown) => error)).toMatchObject({ code: "unavailable" });
    await server.restart();
    await consumer.caughtUp;
    await eventually(() => bus.publish([record("k")]));
    await eventually(() => expect(got).toContain("k"));
    await server.kill("SIGSTOP"); // Away without closing its connections.
    const stoppingMs = performance.now();
    await consumer.stop();
    await bus.stop();
    expectPromised("a broker stops while its server stands still", 10_000, performance.now() - stoppingMs);
  });
});

// Its clock stands still, so the holder goes on believing in its lease after another has taken over, as after a pause that it
// could not notice: what it then sends, the server must refuse.
describe("a holder that missed the end of its lease", () => {
  const topic = { name: "test.topic", retentionMs: 3_600_000 };

  /**
   * Publishes one event; its handling, or its redrive, is under way in a first process when a second takes over, with an outcome
   * of its own.
   */
  async function takeOver(what: "handling" | "redrive", second: () => Promise<void>) {
    const server = await startRedis({ appendfsync: "no" });
    const held = connectBus(server.url, { instance: "held", topics: [topic], clock: createHeldClock() });
    const other = connectBus(server.url, { instance: "other", topics: [topic] });
    const [begun, outcome] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const slow = async (): Promise<void> => {
      begun.resolve();
      await outcome.promise;
    };
    const handlers = what === "handling" ? [slow] : [() => Promise.reject(new Error("not yet")), slow];
    const heldConsumer = held.subscribe(groupOf((...event) => (handlers.shift() ?? handleUntilAborted)(...event)));
    const otherConsumer = other.subscribe(groupOf(second));
    await held.start();
    await other.start();
    await heldConsumer.start();
    await held.publish([record("k")]);
    if (what === "redrive")
      await eventually(async () => expect(await other.deadLetters.redrive("one", undefined)).toBe(1));
    await begun.promise;
    await otherConsumer.start(); // It is given the lease once that of the first has run out.
    return {
      other,
      state: async () => (await other.consumerGroups.states())[0],
      parked: async () => (await other.deadLetters.list({ service: "one", pageSize: 10, pageToken: "" })).deadLetters,
      /** Lets the first process come to its end; resolves when the server has answered what it sent then. */
      late: async (failure?: Error): Promise<void> => {
        if (failure === undefined) outcome.resolve();
        else outcome.reject(failure);
        await held.consumerGroups.states(); // Sent over the same connection, and later.
      },
      [Symbol.asyncDispose]: async () => {
        await Promise.all([heldConsumer.stop(), otherConsumer.stop()]);
        await Promise.all([held.stop(), other.stop()]);
        await server.stop();
      },
    };
  }

  test("does not move the position back", async () => {
    await using both = await takeOver("handling", () => Promise.resolve());
    await eventually(async () => expect(await both.state()).toMatchObject({ lag: 0 }));
    await both.other.publish([record("k"), record("k")]);
    await eventually(async () => expect(await both.state()).toMatchObject({ lag: 0 }));
    await both.late();
    expect(await both.state()).toMatchObject({ lag: 0 });
  });

  test("parks nothing", async () => {
    await using both = await takeOver("handling", () => Promise.resolve());
    await eventually(async () => expect(await both.state()).toMatchObject({ lag: 0 }));
    await both.late(new Error("too late"));
    expect(await both.parked()).toEqual([]);
  });

  test("ends no redrive", async () => {
    await using both = await takeOver("redrive", () => Promise.reject(new Error("not the second either")));
    const stillParked = [expect.objectContaining({ reason: "Error: not the second either" })];
    await eventually(async () => expect(await both.parked()).toEqual(stillParked));
    await both.late();
    expect(await both.parked()).toEqual(stillParked);
  });
});

const handleUntilAborted: Subscription["handle"] = (_, { signal }) => aborted(signal);

/** Resolves when the signal is aborted. */
function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => signal.addEventListener("abort", () => resolve()));
}

function groupOf(handle: Subscription["handle"]): Subscription {
  return {
    service: "one",
    topic: "test.topic",
    types: ["muin.test.v1.Happened"],
    kind: "group",
    onFailure: "parkKey",
    backMs: 0,
    attemptsMax: 1,
    handle,
  };
}

function record(subject: string, data = new Uint8Array(10)): EventRecord {
  return {
    id: systemRandom.uuid(),
    source: "/muin/test",
    type: "muin.test.v1.Happened",
    subject,
    topic: "test.topic",
    timeMs: Date.now(),
    epoch: 0,
    traceparent: "",
    data,
  };
}

/** A subject of each partition. */
function subjectsByPartition(partitions: number): readonly string[] {
  const subjects: string[] = [];
  for (let number = 0; subjects.filter(Boolean).length < partitions; number++) {
    subjects[Bun.hash.crc32(`s${number}`) % partitions] ??= `s${number}`;
  }
  return subjects;
}
