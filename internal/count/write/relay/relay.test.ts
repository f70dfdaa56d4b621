import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { CountsChangedSchema } from "../../../gen/muin/count/v1/count_value_events_pb.ts";
import { type Clock, systemClock } from "../../../platform/clock/clock.ts";
import { systemRandom } from "../../../platform/clock/random.ts";
import type { TestBus } from "../../../platform/events/contract/bus-fixture.ts";
import type { EventRecord } from "../../../platform/service/event-record.ts";
import type { Logger } from "../../../platform/telemetry/logger.ts";
import { openRedis } from "../../../platform/redis/open-redis.ts";
import { createMetrics } from "../../../platform/telemetry/create-metrics.ts";
import { eventually } from "../../../platform/testing/eventually.ts";
import { createHeldClock, type HeldClock } from "../../../platform/testing/held-clock.ts";
import { caught, importMutant } from "../../../platform/testing/mutant.ts";
import { startRedis, type TestRedis } from "../../../platform/testing/redis.ts";
import type { CountStoreLayout } from "../../shared/count-store.ts";
import { keysOf } from "../../shared/key-schema.ts";
import { packAsked } from "../../shared/packed-writes.ts";
import { readValues } from "../../shared/read-values.ts";
import { add, type CountFixture, openBus, openCounts, set, silent } from "../count-fixture.ts";
import { recordOf } from "../events.ts";
import { createOutboxRelay, type OutboxRelay } from "./relay.ts";
import type { RelayOrder } from "./relay-worker.ts";

let countsRedis: TestRedis;
let eventsRedis: TestRedis;
beforeAll(async () => {
  [countsRedis, eventsRedis] = await Promise.all([startRedis(), startRedis()]);
});
afterAll(() => Promise.all([countsRedis.stop(), eventsRedis.stop()]));

/** Empties the counts store. */
async function flush(): Promise<void> {
  const store = openRedis({ url: countsRedis.url, name: "flush" });
  await store.start();
  await store.client.flushall();
  await store.stop();
}

/** The counts store empty, a writer, a bus. */
async function open() {
  await flush();
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

type CreateRelay = typeof createOutboxRelay;

function relayOf(
  counts: CountFixture,
  bus: Pick<TestBus, "publish" | "leases">,
  options: { readonly create?: CreateRelay; readonly log?: Logger; readonly clock?: Clock } = {},
): OutboxRelay {
  return (options.create ?? createOutboxRelay)({
    store: counts.store,
    layout: () => counts.writer.layout(),
    broker: bus,
    leases: bus.leases,
    clock: options.clock ?? systemClock,
    random: systemRandom,
    log: options.log ?? silent,
    metrics: createMetrics(),
  });
}

/** The relay with one rule broken in its own file or in one that it imports. */
async function brokenRelay(rule: string, instead: string, file = "relay.ts"): Promise<CreateRelay> {
  const own = join(import.meta.dir, "relay.ts");
  const path = join(import.meta.dir, file);
  const through = path === own ? [] : [own];
  return (await importMutant<{ createOutboxRelay: CreateRelay }>(path, rule, instead, through)).createOutboxRelay;
}

/** Every record on the topic that holds changes of Counts whose id begins with `prefix`. */
async function published(bus: TestBus, prefix: string): Promise<readonly EventRecord[]> {
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
    epoch: 0,
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
    const max = 9_007_199_254_740_991;
    const min = -max;
    await counts.write([set(a, min), set(a, max - 1, "request-1"), add(a, 1), set(a, 7), add(a, -8), add(a, 1)]);
    await counts.write([add(b, 5, "request-2"), add(b, 5, "request-2"), add(b, 5, "request-3")]);
    expect((await counts.outbox()).length).toBe(10);
    const relay = relayOf(counts, bus);
    await relay.start();
    await eventually(async () => expect(await relay.read()).toEqual({ depth: 0, ageMs: 0, bytes: 0, parked: 0 }));
    const records = await published(bus, prefix);
    expect(sumOf(records, a)).toEqual({ sum: 0n, revisions: [1n, 2n, 3n, 4n, 5n, 6n, 7n] });
    expect(sumOf(records, b)).toEqual({ sum: 10n, revisions: [1n, 2n, 3n] });
    const changes = records.flatMap(({ data }) => fromBinary(CountsChangedSchema, data).changes);
    expect(changes.map(({ delta }) => delta)).toContain(BigInt(max - 1) - BigInt(min));
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

  test("writes an event as the generated code would, on a whole second too", () => {
    for (const timeMs of [1_795_260_000_000, 1_795_260_000_001, 1_795_260_000_999]) {
      const asked = packAsked({ countIds: ["a"], places: [1], kinds: "a", operands: [5] });
      // Time; no codes, Sets or replays; value and revision.
      const reply = Buffer.alloc(30);
      reply.writeDoubleLE(timeMs, 0);
      reply.writeDoubleLE(5, 14);
      reply.writeDoubleLE(2, 22);
      const entry = { shard: 0, id: "1-1", asked, requested: Buffer.alloc(0), reply, position: 1 };
      const { data } = recordOf({ storeId: crypto.randomUUID(), generation: 3 }, entry);
      const message = fromBinary(CountsChangedSchema, data);
      expect(message.changes.map(({ time }) => time && timestampMs(time))).toEqual([timeMs]);
      expect(Buffer.from(data)).toEqual(Buffer.from(toBinary(CountsChangedSchema, message)));
    }
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
    await eventually(async () => expect((await relay.read()).depth).toBe(0));
    expect(said).toEqual([]);
    await countsRedis.kill("SIGKILL");
    await countsRedis.restart();
    await counts.write([add(countId, 1)]);
    await eventually(async () => expect((await relay.read()).depth).toBe(0));
    await relay.stop();
    expect(said.filter((message) => message === "the outbox cannot be read").length).toBeLessThanOrEqual(1);
  });

  test("beats on every shard every 100 ms, by the primary's clock", async () => {
    await checkBeats();
    await caught(async () =>
      checkBeats(await brokenRelay("keysOf(shard).heartbeat", "keysOf(0).heartbeat", "heartbeat.ts")),
    );
    await caught(async () =>
      checkBeats(await brokenRelay("const heartbeatMs = 100;", "const heartbeatMs = 200;", "heartbeat.ts")),
    );
    await caught(async () =>
      checkBeats(await brokenRelay("clock[1] * 1000", "clock[1] * 1000 - 5000", "heartbeat.ts")),
    );
  });
});

async function checkBeats(create?: CreateRelay): Promise<void> {
  await using system = await open();
  const { counts, bus } = system;
  const clock = createHeldClock();
  const relay = relayOf(counts, bus, { clock, ...(create === undefined ? {} : { create }) });
  await using stack = new AsyncDisposableStack();
  stack.defer(async () => {
    clock.release();
    await relay.stop();
  });
  await relay.start();
  const layout = counts.writer.layout() as CountStoreLayout;
  const ids = Array.from({ length: 32 }, (_, place) => `count.${place}`);
  const hasBeaten = (): boolean => clock.asleep().length > 0;
  const read = (afterMs: number) =>
    eventually(
      async () => {
        const { timeMs, counts: each } = await readValues(counts.store, layout, ids);
        const beats = each.map(({ heartbeatMs = Number.NaN }) => heartbeatMs);
        for (const beatMs of beats) {
          expect(beatMs).toBeGreaterThan(afterMs);
          expect(timeMs - beatMs).toBeLessThan(2000);
        }
        return beats;
      },
      { unless: hasBeaten },
    );
  const first = await read(0);
  await eventually(() => expect(clock.asleep()).toEqual([100]), { unless: hasBeaten });
  await eventually(async () => {
    await clock.pass(100);
    await read(Math.max(...first));
  });
}

async function checkTrim(create?: CreateRelay): Promise<void> {
  await using system = await open();
  const { counts, bus } = system;
  const prefix = `${crypto.randomUUID()}.`;
  await counts.seed(`${prefix}a`);
  await counts.write([add(`${prefix}a`, 5)]);
  let refused = 0;
  const away = relayOf(
    counts,
    {
      leases: bus.leases,
      publish: () => {
        refused += 1;
        return Promise.reject(new Error("the bus is away"));
      },
    },
    create === undefined ? {} : { create },
  );
  await away.start();
  await eventually(() => expect(refused).toBeGreaterThan(0));
  await away.stop();
  const relay = relayOf(counts, bus);
  await relay.start();
  await eventually(async () => expect((await relay.read()).depth).toBe(0));
  await relay.stop();
  expect(sumOf(await published(bus, prefix), `${prefix}a`)).toEqual({ sum: 5n, revisions: [1n, 2n] });
}

describe("trimming", () => {
  test("waits for the bus's acknowledgement", async () => {
    await checkTrim();
    const publish = "await persist(publish, refusal, signal);";
    const all = "entries.map(({ entry }) => entry)";
    const eager = await brokenRelay(publish, `await trimEntries(store, ${all}); ${publish}`, "deliver.ts");
    await caught(() => checkTrim(eager));
    const hope = `outcome = { published: ${all}, refused: [] }; await publish().catch(() => undefined);`;
    const hopeful = await brokenRelay(publish, hope, "deliver.ts");
    await caught(() => checkTrim(hopeful));
  });

  test("is done again when it failed, though nothing else is written", async () => {
    await checkTrimAgain();
    const step = 'await persist(() => trimEntries(store, done), "the outbox was not trimmed", signal);';
    const once = await brokenRelay(step, "await trimEntries(store, done).catch(() => undefined);", "deliver.ts");
    await caught(() => checkTrimAgain(once, 2000));
  });

  test("gives the same event the same id when the same entry is published again", async () => {
    await checkIds();
    const nameless = "eventId(storeId, shard, entry.id)";
    const random = await brokenRelay(nameless, "crypto.randomUUID()", "../events.ts");
    await caught(() => checkIds(random));
    const blind = await brokenRelay(nameless, 'eventId(storeId, shard, "")', "../events.ts");
    await caught(() => checkIds(blind));
    const shardless = await brokenRelay(
      "${storeId}\\0${shard}\\0${entryId}\\0",
      "${storeId}\\0${entryId}\\0",
      "../events.ts",
    );
    await caught(() => checkIds(shardless));
  });
});

/** The store's connection breaks between the bus's acknowledgement and the trim, that for reading does not. */
async function checkTrimAgain(create?: CreateRelay, timeoutMs = 10_000): Promise<void> {
  await using system = await open();
  const { counts, bus } = system;
  await counts.seed(`${crypto.randomUUID()}.a`);
  let publishes = 0;
  const relay = relayOf(
    counts,
    {
      leases: bus.leases,
      publish: async (records, term) => {
        await bus.publish(records, term);
        publishes += 1;
        if (publishes === 1) counts.store.client.disconnect(true);
      },
    },
    create === undefined ? {} : { create },
  );
  await using stack = new AsyncDisposableStack();
  stack.defer(() => relay.stop());
  await relay.start();
  await eventually(() => expect(publishes).toBeGreaterThan(0));
  await eventually(async () => expect((await relay.read()).depth).toBe(0), { timeoutMs });
  expect(publishes).toBe(1);
}

/** Two relays, one after the other, publish the same entries. */
async function checkIds(create?: CreateRelay): Promise<void> {
  await using system = await open();
  const { counts, bus } = system;
  const prefix = `${crypto.randomUUID()}.`;
  await counts.seed(`${prefix}a`);
  await counts.write([add(`${prefix}a`, 5)]);
  // On another shard an entry of the same name: both are the first of their millisecond.
  const { client } = counts.store;
  const shard = counts.writer.shardOf(`${prefix}a`);
  const [first] = (await client.xrangeBuffer(keysOf(shard).outbox, "-", "+")) as [[Buffer, Buffer[]]];
  await client.xadd(keysOf((shard + 1) % 4).outbox, first[0], ...first[1]);
  for (let time = 0; time < 2; time += 1) {
    let acknowledgements = 0;
    const deaf = relayOf(
      counts,
      {
        leases: bus.leases,
        publish: async (records, term) => {
          await bus.publish(records, term);
          acknowledgements += 1;
          if (time === 0) throw new Error("the acknowledgement is lost");
        },
      },
      create === undefined ? {} : { create },
    );
    await deaf.start();
    await eventually(() => expect(acknowledgements).toBeGreaterThan(0));
    if (time === 1) await eventually(async () => expect((await deaf.read()).depth).toBe(0));
    await deaf.stop();
  }
  const records = await published(bus, prefix);
  expect(records.length).toBeGreaterThanOrEqual(6);
  expect(new Set(records.map(({ id }) => id)).size).toBe(3);
}

/** What a relay published in each round, while the test holds its time. */
interface Rounds {
  readonly clock: HeldClock;
  readonly counts: CountFixture;
  readonly countId: string;
  /** Changes per call of the bus. */
  readonly sizes: readonly number[];
  /** Whether the relay pauses between two rounds. */
  readonly isPausing: () => boolean;
  /** Resolves once the relay pauses, or waits in the store for the next entry. */
  readonly untilIdle: () => Promise<void>;
}

/** Runs `check` on a relay of one shard whose outbox already holds `waiting` entries. */
async function withRounds(
  waiting: number,
  create: CreateRelay | undefined,
  check: (rounds: Rounds) => Promise<void>,
): Promise<void> {
  await flush();
  await using counts = await openCounts(countsRedis.url, { limits: { shards: 64 } });
  const bus = openBus(eventsRedis.url, `test ${crypto.randomUUID()}`);
  await bus.start();
  await using stack = new AsyncDisposableStack();
  stack.defer(() => bus.stop());
  const countId = `${crypto.randomUUID()}.a`;
  await counts.seed(countId);
  for (let entry = 1; entry < waiting; entry += 1) await counts.write([add(countId, 1)]);
  const clock = createHeldClock();
  const sizes: number[] = [];
  const relay = relayOf(
    counts,
    {
      leases: bus.leases,
      publish: async (records, term) => {
        sizes.push(records.length);
        await bus.publish(records, term);
      },
    },
    { clock, ...(create === undefined ? {} : { create }) },
  );
  stack.defer(async () => {
    clock.release();
    await relay.stop();
  });
  await relay.start();
  const isPausing = (): boolean => clock.asleep().includes(25);
  await check({
    clock,
    counts,
    countId,
    sizes,
    isPausing,
    untilIdle: async () => {
      await eventually(async () => {
        const clients = await counts.store.client.info("clients");
        expect(isPausing() || clients.includes("blocked_clients:1")).toBe(true);
      });
    },
  });
}

/** An event that comes alone is published while time stands still; those that come in the pause after it go together. */
async function checkGathering(create?: CreateRelay): Promise<void> {
  await withRounds(1, create, async ({ clock, counts, countId, sizes, isPausing, untilIdle }) => {
    const isInVain = (): boolean => sizes.length === 0 && isPausing();
    await eventually(() => expect(sizes).toEqual([1]), { unless: isInVain });
    await untilIdle();
    for (let entry = 0; entry < 3; entry += 1) await counts.write([add(countId, 1)]);
    await clock.pass(25);
    await eventually(() => expect(sizes.reduce((sum, size) => sum + size, 0)).toBe(4));
    expect(sizes).toEqual([1, 3]);
  });
}

/** While a round leaves entries behind, the next follows at once. */
async function checkBacklog(create?: CreateRelay): Promise<void> {
  // Over 64 shards a round reads four entries of each.
  await withRounds(9, create, async ({ sizes, untilIdle }) => {
    await eventually(() => expect(sizes[0]).toBe(4));
    await untilIdle();
    expect(sizes).toEqual([4, 4, 1]);
  });
}

describe("the relay's rounds", () => {
  const pause = "if (entries.length < countMax) await clock.sleep(roundPauseMs, signal).catch(() => undefined);";
  const delivering = "delivering = deliver(next, parking, term, signal);";

  test("gather what comes within 25 milliseconds, and let a lone event wait for nothing", async () => {
    await checkGathering();
    await caught(async () => checkGathering(await brokenRelay(pause, "")));
    await caught(async () =>
      checkGathering(await brokenRelay(delivering, `await clock.sleep(roundPauseMs, signal); ${delivering}`)),
    );
  });

  test("follow each other at once while more waits", async () => {
    await checkBacklog();
    await caught(async () => checkBacklog(await brokenRelay("if (entries.length < countMax) await", "await")));
  });
});

async function checkFence(isUnfenced: boolean): Promise<void> {
  await using system = await open();
  const { counts, bus } = system;
  const prefix = `${crypto.randomUUID()}.`;
  await counts.seed(`${prefix}a`);
  await counts.write([add(`${prefix}a`, 5)]);
  const order: RelayOrder = { counts: countsRedis.url, events: eventsRedis.url, isUnfenced };
  const worker = fileURLToPath(new URL("./relay-worker.ts", import.meta.url));
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
  await eventually(async () => expect((await relay.read()).depth).toBe(0));
  await counts.write([add(`${prefix}a`, 5)]);
  await eventually(async () => expect((await relay.read()).depth).toBe(0));
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
    await eventually(async () => expect((await relay.read()).depth).toBe(0));
    await relay.stop();
    expect(await counts.store.client.exists(keysOf(counts.writer.shardOf(countId)).outbox)).toBe(1);
  });
});
