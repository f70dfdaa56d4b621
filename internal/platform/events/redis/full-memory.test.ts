import { expect, test } from "bun:test";
import { join } from "node:path";
import { Redis } from "ioredis";
import type { EventRecord } from "../../service/event-record.ts";
import { eventually } from "../../testing/eventually.ts";
import { caught, importMutant } from "../../testing/mutant.ts";
import { startRedis } from "../../testing/redis.ts";
import { connectBus } from "./redis-broker-fixture.ts";

const topic = { name: "test.topic", retentionMs: 3_600_000 };

function record(number: number, bytes = 1): EventRecord {
  return {
    id: crypto.randomUUID(),
    source: "/test",
    type: "test.Happened",
    subject: "k",
    topic: topic.name,
    timeMs: 1,
    epoch: 0,
    traceparent: "",
    data: new Uint8Array(bytes).fill(number),
  };
}

type Connect = typeof connectBus;

/** The events server has no memory left while a consumer still has events to handle, and a process comes that needs its leases. */
async function useFull(connect: Connect, timeoutMs = 20_000): Promise<void> {
  await using server = await startRedis({ appendfsync: "no" });
  const admin = new Redis(server.url, { retryStrategy: () => null });
  await using stack = new AsyncDisposableStack();
  stack.defer(() => admin.disconnect());
  const writer = connectBus(server.url, { instance: "writer", topics: [topic] });
  await writer.start();
  for (let number = 0; number < 10; number += 1) await writer.publish([record(number, 900_000)]);
  await writer.stop();

  await admin.config("SET", "maxmemory", "1");
  const bus = connect(server.url, { instance: "reader", topics: [topic] });
  stack.defer(() => bus.stop());
  await bus.start();
  const handled: number[] = [];
  const consumer = bus.subscribe({
    service: "one",
    topic: topic.name,
    types: ["test.Happened"],
    kind: "group",
    onFailure: "parkKey",
    backMs: 0,
    attemptsMax: 1,
    handle: ({ data }) => {
      handled.push(data[0] as number);
      return data[0] === 9 ? Promise.reject(new Error("not this one")) : Promise.resolve();
    },
  });
  stack.defer(() => consumer.stop());
  await consumer.start();
  expect(bus.publish([record(10)])).rejects.toMatchObject({ reason: "STORE_FULL" });
  const soon = (check: () => Promise<void> | void) => eventually(check, { timeoutMs });
  await soon(() => expect(handled.at(-1)).toBe(9));
  // It keeps where it is and what it gave up on.
  await soon(async () => expect((await bus.consumerGroups.states())[0]).toMatchObject({ lag: 0, deadLetters: 1 }));
  // What is too much goes: so there can be room again.
  await consumer.stop();
  await bus.stop();
  const next = connect(server.url, { instance: "next", topics: [topic], topicBytesMax: 1 << 20 });
  stack.defer(() => next.stop());
  await next.start();
  await soon(async () => expect(await admin.xlen("events:stream:test.topic:1")).toBeLessThan(10));
  await admin.config("SET", "maxmemory", "0");
  await next.publish([record(11)]);
  expect(await next.deadLetters.redrive("one", undefined)).toBe(1);
}

test("a full events server takes no event, and lets consumers, leases and retention go on", () => useFull(connectBus));

test.each([
  ["leases", join(import.meta.dir, "../../lease/redis/lease-script.ts"), '  name: "lease",\n  runsWhenFull: true,'],
  ["positions", join(import.meta.dir, "scripts.ts"), '  name: "events-commit",\n  runsWhenFull: true,'],
  ["dead letters", join(import.meta.dir, "scripts.ts"), '  name: "events-park",\n  runsWhenFull: true,'],
])("mutant: %s need memory that nobody has", async (_, file, from) => {
  const fixture = join(import.meta.dir, "redis-broker-fixture.ts");
  const broker = join(import.meta.dir, "open-redis-broker.ts");
  const mutant = await importMutant<{ connectBus: Connect }>(file, from, from.replace("true", "false"), [
    broker,
    fixture,
  ]);
  await caught(() => useFull(mutant.connectBus, 4000));
});
