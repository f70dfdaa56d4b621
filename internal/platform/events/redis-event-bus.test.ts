import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { eventsRights } from "../app/store-rights.ts";
import { systemRandom } from "../clock/random.ts";
import { openRedis } from "../redis/open-redis.ts";
import { eventually } from "../testing/eventually.ts";
import { startRedis } from "../testing/redis.ts";
import { describeEventBus } from "./event-bus.contract.ts";
import type { EventRecord } from "./event-bus.ts";
import { connectBus } from "./redis-bus-fixture.ts";

describeEventBus("EventBus on Redis Streams", async () => {
  const server = await startRedis({ appendfsync: "always" });
  return {
    createBus: (config) => connectBus(server.url, config),
    crash: async () => {
      await server.kill("SIGKILL");
      await server.restart();
    },
    module: join(import.meta.dir, "redis-bus-fixture.ts"),
    connection: server.url,
    [Symbol.asyncDispose]: () => server.stop(),
  };
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

  test("a topic keeps to its bytes", async () => {
    await using server = await startRedis({ appendfsync: "no" });
    const bus = connectBus(server.url, { instance: "bytes", topics: [topic], topicBytesMax: 4 << 20 });
    const redis = openRedis({ url: server.url, name: "test" });
    await redis.start();
    await bus.start();
    for (let sent = 0; sent < 160; sent++)
      await bus.publish([{ ...record(`key-${sent}`), data: new Uint8Array(100_000) }]);
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

  test("everything lies under one prefix, and its user needs no more than that", async () => {
    await using server = await startRedis({ appendfsync: "no" });
    const redis = openRedis({ url: server.url, name: "test" });
    await redis.start();
    await redis.client.acl("SETUSER", "bus", ">secret", ...eventsRights("bus").rules);
    const url = new URL(server.url);
    [url.username, url.password] = ["bus", "secret"];
    const bus = connectBus(url.href, { instance: "acl", topics: [topic] });
    await bus.start();
    const got: string[] = [];
    const consumer = bus.subscribe({
      service: "one",
      topic: topic.name,
      types: ["muin.test.v1.Happened"],
      kind: "group",
      onFailure: "parkKey",
      backMs: 0,
      attemptsMax: 1,
      handle: async ({ subject }) => void got.push(subject),
    });
    await consumer.start();
    await bus.publish([record("k")]);
    await eventually(() => expect(got).toEqual(["k"]));
    await eventually(() => expect(bus.heartbeatReceivedAt()).toBeGreaterThan(0));
    expect((await redis.client.keys("*")).filter((key) => !key.startsWith("events:"))).toEqual([]);
    await consumer.stop();
    await bus.stop();
    await redis.stop();
  });

  test("the server away: start, consumers and stop do not hang, and all begins when it comes", async () => {
    await using server = await startRedis({ appendfsync: "no" });
    await server.kill("SIGKILL");
    const bus = connectBus(server.url, { instance: "away", topics: [topic] });
    await bus.start();
    const got: string[] = [];
    const consumer = bus.subscribe({
      service: "one",
      topic: topic.name,
      types: ["muin.test.v1.Happened"],
      kind: "everyInstance",
      onFailure: "skip",
      backMs: 60_000,
      attemptsMax: 1,
      handle: async ({ subject }) => void got.push(subject),
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
    expect(performance.now() - stoppingMs).toBeLessThan(3000);
  });
});

function record(subject: string): EventRecord {
  return {
    id: systemRandom.uuid(),
    source: "/muin/test",
    type: "muin.test.v1.Happened",
    subject,
    topic: "test.topic",
    timeMs: Date.now(),
    traceparent: "",
    data: new Uint8Array(10),
  };
}
