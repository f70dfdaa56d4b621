import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { fileURLToPath } from "node:url";
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { CountsChangedSchema } from "../../gen/muin/count/v1/count_value_events_pb.ts";
import { systemClock } from "../../platform/clock/clock.ts";
import type { EventBus, EventRecord } from "../../platform/events/event-bus.ts";
import type { Logger } from "../../platform/telemetry/logger.ts";
import { createMetrics } from "../../platform/telemetry/create-metrics.ts";
import { eventually } from "../../platform/testing/eventually.ts";
import { caught } from "../../platform/testing/mutant.ts";
import { startRedis, type TestRedis } from "../../platform/testing/redis.ts";
import { keysOf, valueMax } from "../shared/key-schema.ts";
import { readValues } from "../shared/read-values.ts";
import { add, type CountFixture, openBus, openCounts, set, silent } from "./count-fixture.ts";
import { createOutboxRelay, type OutboxRelay } from "./outbox-relay.ts";
import type { RelayOrder } from "./outbox-relay-worker.ts";

let countsRedis: TestRedis;
let eventsRedis: TestRedis;
beforeAll(async () => {
  [countsRedis, eventsRedis] = await Promise.all([startRedis(), startRedis()]);
});
afterAll(() => Promise.all([countsRedis.stop(), eventsRedis.stop()]));

/** Both stores empty, a writer, a bus. */
async function open() {
  await using flushing = await openCounts(countsRedis.url);
  await flushing.store.client.flushall();
  const counts = await openCounts(countsRedis.url);
  const bus = openBus(eventsRedis.url, `test ${crypto.randomUUID()}`);
  await bus.start();
  return {
    counts,
    bus,
    [Symbol.asyncDispose]: async () => {
      await counts[Symbol.asyncDispose]();
      await bus.stop();
    },
  };
}

function relayOf(
  counts: CountFixture,
  bus: Pick<EventBus, "publish" | "leaseholder">,
  { trimEarly = false, log = silent }: { readonly trimEarly?: boolean; readonly log?: Logger } = {},
): OutboxRelay {
  return createOutboxRelay({
    store: counts.store,
    layout: () => counts.writer.layout(),
    bus,
    clock: systemClock,
    log,
    metrics: createMetrics(),
    trimEarly,
  });
}

/** Every record on the topic that holds changes of Counts whose id begins with `prefix`. */
async function published(bus: EventBus, prefix: string): Promise<readonly EventRecord[]> {
  const ended = new AbortController();
  const records: EventRecord[] = [];
  const mark = crypto.randomUUID();
  const data = toBinary(CountsChangedSchema, fromBinary(CountsChangedSchema, new Uint8Array()));
  const type = CountsChangedSchema.typeName;
  // What is on the topic before the marks has been read once all marks have.
  const marks = ["0", "1", "2", "3"].map((subject) => ({
    id: `${mark} ${subject}`,
    source: "/test",
    type,
    subject,
    topic: "count.value",
    timeMs: 1,
    traceparent: "",
    data,
  }));
  await bus.publish(marks);
  let seen = 0;
  for await (const record of bus.tail("count.value", { fromStart: true, signal: ended.signal })) {
    if (record.id.startsWith(mark)) seen += 1;
    const { changes } = fromBinary(CountsChangedSchema, record.data);
    if (changes[0]?.countId.startsWith(prefix)) records.push(record);
    if (seen === marks.length) break;
  }
  ended.abort();
  return records;
}

function sumOf(records: readonly EventRecord[], countId: string): { sum: bigint; revisions: bigint[] } {
  const own = records
    .flatMap(({ data }) => fromBinary(CountsChangedSchema, data).changes)
    .filter((change) => change.countId === countId);
  return { sum: own.reduce((sum, { delta }) => sum + delta, 0n), revisions: own.map(({ revision }) => revision) };
}

describe("the relay", () => {
  test("publishes every change in order, as the generated code would say it, and empties the outbox", async () => {
    await using system = await open();
    const { counts, bus } = system;
    const prefix = `${crypto.randomUUID()}.`;
    const [a, b] = [`${prefix}a`, `${prefix}b`];
    await counts.seed(a, b);
    const min = -valueMax;
    await counts.write([set(a, min), set(a, valueMax - 1, "request-1"), add(a, 1), set(a, 7), add(a, -8), add(a, 1)]);
    await counts.write([add(b, 5, "request-2"), add(b, 5, "request-2"), add(b, 5, "request-3")]);
    expect((await counts.outbox()).length).toBe(10);
    const relay = relayOf(counts, bus);
    await relay.start();
    await eventually(async () => expect(await relay.state()).toEqual({ depth: 0, ageMs: 0, bytes: 0 }));
    const records = await published(bus, prefix);
    expect(sumOf(records, a)).toEqual({ sum: 0n, revisions: [1n, 2n, 3n, 4n, 5n, 6n, 7n] });
    expect(sumOf(records, b)).toEqual({ sum: 10n, revisions: [1n, 2n, 3n] });
    const changes = records.flatMap(({ data }) => fromBinary(CountsChangedSchema, data).changes);
    expect(changes.map(({ delta }) => delta)).toContain(BigInt(valueMax - 1) - BigInt(min));
    expect(changes.map(({ requestId }) => requestId).toSorted()).toEqual(
      ["", "", "", "", "", "", "", "request-1", "request-2", "request-3"].toSorted(),
    );
    for (const record of records) {
      const message = fromBinary(CountsChangedSchema, record.data);
      expect(Buffer.from(record.data)).toEqual(Buffer.from(toBinary(CountsChangedSchema, message)));
      expect(record).toMatchObject({ source: "/muin/count-write", subject: message.shard });
      expect(record.id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
      expect(Number(message.changes[0]?.time?.seconds)).toBe(Math.floor(record.timeMs / 1000));
    }
    expect(new Set(records.map(({ id }) => id)).size).toBe(records.length);
    await relay.stop();
  });

  test("says nothing when it starts, nor when the store was away and came back, beyond that it was", async () => {
    await using system = await open();
    const { counts, bus } = system;
    const said: string[] = [];
    const warn = (message: string): void => void said.push(message);
    const countId = `${crypto.randomUUID()}.a`;
    await counts.seed(countId);
    const relay = relayOf(counts, bus, { log: { ...silent, warn, error: warn } });
    await relay.start();
    await eventually(async () => expect((await relay.state()).depth).toBe(0));
    expect(said).toEqual([]);
    await countsRedis.kill("SIGKILL");
    await countsRedis.restart();
    await counts.write([add(countId, 1)]);
    await eventually(async () => expect((await relay.state()).depth).toBe(0));
    await relay.stop();
    expect(said.filter((message) => message === "the outbox cannot be read").length).toBeLessThanOrEqual(1);
  });

  test("beats on every shard, by the primary's clock", async () => {
    await using system = await open();
    const relay = relayOf(system.counts, system.bus);
    await relay.start();
    const layout = system.counts.writer.layout();
    if (layout === undefined) throw new Error("the layout is not known");
    const ids = Array.from({ length: 32 }, (_, place) => `count.${place}`);
    const read = () => readValues(system.counts.store, layout, ids);
    const first = await eventually(async () => {
      const now = await read();
      for (const { heartbeatMs } of now.counts) expect(now.timeMs - (heartbeatMs ?? 0)).toBeLessThan(1000);
      return now;
    });
    await eventually(async () => {
      for (const [place, { heartbeatMs }] of (await read()).counts.entries()) {
        expect(heartbeatMs).toBeGreaterThan(first.counts[place]?.heartbeatMs ?? Number.NaN);
      }
    });
    await relay.stop();
  });
});

async function checkTrim(trimEarly: boolean): Promise<void> {
  await using system = await open();
  const { counts, bus } = system;
  const prefix = `${crypto.randomUUID()}.`;
  await counts.seed(`${prefix}a`);
  await counts.write([add(`${prefix}a`, 5)]);
  let refused = 0;
  const away = relayOf(
    counts,
    {
      leaseholder: (lease, work) => bus.leaseholder(lease, work),
      publish: () => {
        refused += 1;
        return Promise.reject(new Error("the bus is away"));
      },
    },
    { trimEarly },
  );
  await away.start();
  await eventually(() => expect(refused).toBeGreaterThan(1));
  await away.stop();
  const relay = relayOf(counts, bus);
  await relay.start();
  await eventually(async () => expect((await relay.state()).depth).toBe(0));
  await relay.stop();
  expect(sumOf(await published(bus, prefix), `${prefix}a`)).toEqual({ sum: 5n, revisions: [1n, 2n] });
}

describe("trimming", () => {
  test("waits for the bus's acknowledgement", async () => {
    await checkTrim(false);
    await caught(() => checkTrim(true));
  });

  test("gives the same event the same id when the same entry is published again", async () => {
    await using system = await open();
    const { counts, bus } = system;
    const prefix = `${crypto.randomUUID()}.`;
    await counts.seed(`${prefix}a`);
    await counts.write([add(`${prefix}a`, 5)]);
    const twice = relayOf(counts, {
      leaseholder: (lease, work) => bus.leaseholder(lease, work),
      publish: async (records, fence) => {
        await bus.publish(records, fence);
        await bus.publish(records, fence); // As after an acknowledgement that was lost.
      },
    });
    await twice.start();
    await eventually(async () => expect((await twice.state()).depth).toBe(0));
    await twice.stop();
    const ids = (await published(bus, prefix)).map(({ id }) => id);
    expect(new Set(ids).size).toBe(2);
  });
});

async function checkFence(isUnfenced: boolean): Promise<void> {
  await using system = await open();
  const { counts, bus } = system;
  const prefix = `${crypto.randomUUID()}.`;
  await counts.seed(`${prefix}a`);
  await counts.write([add(`${prefix}a`, 5)]);
  const order: RelayOrder = { counts: countsRedis.url, events: eventsRedis.url, isUnfenced };
  const worker = fileURLToPath(new URL("./outbox-relay-worker.ts", import.meta.url));
  await using paused = Bun.spawn([process.execPath, worker, JSON.stringify(order)], {
    stdin: "pipe",
    stdout: "pipe",
    stderr: "inherit",
  });
  const said = paused.stdout.pipeThrough(new TextDecoderStream()).getReader();
  expect((await said.read()).value).toBe("publishing\n");
  process.kill(paused.pid, "SIGSTOP");
  const relay = relayOf(counts, bus);
  await using stack = new AsyncDisposableStack();
  stack.defer(() => relay.stop());
  await relay.start();
  await eventually(async () => expect((await relay.state()).depth).toBe(0));
  await counts.write([add(`${prefix}a`, 5)]);
  await eventually(async () => expect((await relay.state()).depth).toBe(0));
  void paused.stdin.write("go on\n");
  await paused.stdin.flush();
  process.kill(paused.pid, "SIGCONT");
  expect((await said.read()).value).toBe("fenced\n");
  paused.kill("SIGKILL");
  expect(sumOf(await published(bus, prefix), `${prefix}a`)).toEqual({ sum: 10n, revisions: [1n, 2n, 3n] });
}

describe("a relay that was paused", () => {
  test("publishes nothing once another has taken over", async () => {
    await checkFence(false);
    await caught(() => checkFence(true));
    // Each time the lease of the paused one has to run out.
  }, 30_000);
});

describe("the outbox's keys", () => {
  test("stay when it is empty: the ids of entries never repeat", async () => {
    await using system = await open();
    const { counts, bus } = system;
    const countId = `${crypto.randomUUID()}.a`;
    await counts.seed(countId);
    const relay = relayOf(counts, bus);
    await relay.start();
    await eventually(async () => expect((await relay.state()).depth).toBe(0));
    await relay.stop();
    expect(await counts.store.client.exists(keysOf(counts.writer.shardOf(countId)).outbox)).toBe(1);
  });
});
