import { create } from "@bufbuild/protobuf";
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { ApiKeyRevokedSchema } from "../../gen/muin/identity/v1/session_events_pb.ts";
import { systemClock } from "../clock/clock.ts";
import { systemRandom } from "../clock/random.ts";
import { migrate } from "../postgres/migrate.ts";
import { type OpenDatabase, openDatabase } from "../postgres/open-database.ts";
import { eventually } from "../testing/eventually.ts";
import { sharedPostgres } from "../testing/postgres.ts";
import { startRedis, type TestRedis } from "../testing/redis.ts";
import type { TestBus } from "./event-bus.contract.ts";
import type { EventRecord } from "./event-bus.ts";
import { createInboxPruner, once } from "./inbox.ts";
import { createOutboxRelay, createPublish, type OutboxRelay } from "./outbox.ts";
import { connectBus, silentLog, silentMetrics } from "./redis-bus-fixture.ts";
import { createRecord, subjectOf, topicOf, topicsOf } from "./topics.ts";

const schema = ApiKeyRevokedSchema;
const topics = topicsOf([schema]);
const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const publish = createPublish<[typeof schema]>({
  source: "/muin/test",
  clock: systemClock,
  random: systemRandom,
  currentTraceparent: () => traceparent,
});

let redis: TestRedis;
let bus: TestBus;

beforeAll(async () => {
  redis = await startRedis({ appendfsync: "no" });
  bus = connectBus(redis.url, { instance: "outbox", topics });
  await bus.start();
});
afterAll(async () => {
  await bus.stop();
  await redis.stop();
});

async function newDatabase(): Promise<OpenDatabase> {
  const url = await (await sharedPostgres()).createDatabase();
  await migrate({ url, migrations: [], log: silentLog });
  const database = openDatabase({ url, applicationName: "test" });
  await database.sql`create table keys (id text primary key, version bigint not null)`;
  return database;
}

function newRelay(
  database: OpenDatabase,
  service: string,
  relayBus: Pick<TestBus, "publish" | "leaseholder"> = bus,
): OutboxRelay {
  return createOutboxRelay({
    service,
    database,
    bus: relayBus,
    clock: systemClock,
    random: systemRandom,
    log: silentLog,
    metrics: silentMetrics,
  });
}

function daysAgo(days: number): Date {
  return new Date(systemClock.now() - days * 24 * 3_600_000);
}

/** What is stored from now on; `stop` ends it. */
async function watch(service: string): Promise<{ seen: EventRecord[]; stop: () => Promise<void> }> {
  const seen: EventRecord[] = [];
  const consumer = bus.subscribe({
    service,
    topic: topicOf(schema),
    types: [schema.typeName],
    kind: "everyInstance",
    onFailure: "skip",
    backMs: 0,
    attemptsMax: 1,
    handle: async (record) => void (record.subject.startsWith(service) && seen.push(record)),
  });
  await consumer.start();
  await consumer.caughtUp;
  return { seen, stop: () => consumer.stop() };
}

describe("topics", () => {
  test("topic, key and retention come from the proto", () => {
    expect(topicOf(schema)).toBe("identity.session");
    expect(subjectOf(schema, create(schema, { apiKeyId: "k-1" }))).toBe("k-1");
    expect(() => subjectOf(schema, create(schema, {}))).toThrow("ApiKeyRevoked has no apiKeyId");
    expect(topicsOf([schema, schema]).map(({ name }) => name)).toEqual(["identity.session"]);
  });
});

describe("outbox", () => {
  test("a recorded event is published if and only if its transaction commits, within a moment", async () => {
    const [database, watched] = [await newDatabase(), await watch("commit")];
    const relay = newRelay(database, "commit");
    await relay.start();
    await database.transaction((tx) => publish(tx, schema, { apiKeyId: "commit-1", aggregateVersion: 7n }));
    await eventually(() => expect(watched.seen).toHaveLength(1)); // The lease is held from here on.
    const rolledBack = database.transaction(async (tx) => {
      await publish(tx, schema, { apiKeyId: "commit-no" });
      throw new Error("no");
    });
    expect(await rolledBack.catch((error: Error) => error.message)).toBe("no");
    const beganMs = performance.now();
    await database.transaction((tx) => publish(tx, schema, { apiKeyId: "commit-2" }));
    await eventually(() => expect(watched.seen.map(({ subject }) => subject)).toEqual(["commit-1", "commit-2"]));
    expect(performance.now() - beganMs).toBeLessThan(500); // Woken, not polled.
    expect(watched.seen[0]).toMatchObject({
      source: "/muin/test",
      type: schema.typeName,
      topic: "identity.session",
      traceparent,
      id: expect.stringMatching(/^[0-9a-f]{8}-[0-9a-f]{4}-7/),
      data: createRecord(schema, create(schema, { apiKeyId: "commit-1", aggregateVersion: 7n }), {
        source: "",
        clock: systemClock,
        random: systemRandom,
        traceparent: "",
      }).data,
    });
    await eventually(async () => expect(await relay.read()).toEqual({ depth: 0, ageMs: 0 }));
    await relay.stop();
    await watched.stop();
    await database.stop();
  });

  test("a row of a late commit is not skipped", async () => {
    const [database, watched] = [await newDatabase(), await watch("late")];
    const relay = newRelay(database, "late");
    await relay.start();
    const [recorded, mayCommit] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const late = database.transaction(async (tx) => {
      await publish(tx, schema, { apiKeyId: "late-early-sequence" });
      recorded.resolve();
      await mayCommit.promise;
    });
    await recorded.promise;
    await database.transaction((tx) => publish(tx, schema, { apiKeyId: "late-2" }));
    await eventually(() => expect(watched.seen.map(({ subject }) => subject)).toEqual(["late-2"]));
    await eventually(async () => expect((await relay.read()).depth).toBe(0));
    mayCommit.resolve();
    await late;
    await eventually(() =>
      expect(watched.seen.map(({ subject }) => subject)).toEqual(["late-2", "late-early-sequence"]),
    );
    await relay.stop();
    await watched.stop();
    await database.stop();
  });

  test("concurrent changes of one aggregate are published in the order of their commits", async () => {
    const [database, watched] = [await newDatabase(), await watch("order")];
    const relay = newRelay(database, "order");
    await relay.start();
    await database.sql`insert into keys values ('order-1', 0), ('order-2', 0)`;
    const change = (id: string) =>
      database.transaction(async (tx) => {
        const [row] = await tx<{ version: string }[]>`
          update keys set version = version + 1 where id = ${id} returning version`;
        await publish(tx, schema, { apiKeyId: id, aggregateVersion: BigInt(row?.version ?? 0) });
      });
    await Promise.all(Array.from({ length: 100 }, (_, index) => change(index % 2 === 0 ? "order-1" : "order-2")));
    await eventually(() => expect(watched.seen).toHaveLength(100));
    for (const id of ["order-1", "order-2"]) {
      const data = watched.seen.filter(({ subject }) => subject === id).map((record) => record.data);
      expect(data).toEqual(
        Array.from(
          { length: 50 },
          (_, index) =>
            createRecord(schema, create(schema, { apiKeyId: id, aggregateVersion: BigInt(index + 1) }), {
              source: "",
              clock: systemClock,
              random: systemRandom,
              traceparent: "",
            }).data,
        ),
      );
    }
    await relay.stop();
    await watched.stop();
    await database.stop();
  });

  test("while the bus is away rows wait, and a failed batch comes again with the same ids", async () => {
    const [database, watched] = [await newDatabase(), await watch("away")];
    let [isAway, calls] = [true, 0];
    const flaky: Pick<TestBus, "publish" | "leaseholder"> = {
      leaseholder: (lease, work) => bus.leaseholder(lease, work),
      publish: async (records, fence) => {
        calls++;
        await bus.publish(records, fence);
        if (isAway) throw new Error("the answer was lost");
      },
    };
    const relay = newRelay(database, "away", flaky);
    await relay.start();
    await database.transaction((tx) => publish(tx, schema, { apiKeyId: "away-1" }));
    await eventually(() => expect(calls).toBeGreaterThan(1));
    expect((await relay.read()).depth).toBe(1);
    expect((await relay.read()).ageMs).toBeGreaterThan(0);
    isAway = false;
    await eventually(async () => expect((await relay.read()).depth).toBe(0));
    await eventually(() => expect(watched.seen.length).toBe(calls));
    expect(new Set(watched.seen.map(({ id }) => id)).size).toBe(1);
    await relay.stop();
    await watched.stop();
    await database.stop();
  });

  test("two relays of one database: only the holder of the lease moves rows", async () => {
    const [database, watched] = [await newDatabase(), await watch("two")];
    const relays = [newRelay(database, "two"), newRelay(database, "two")];
    for (const relay of relays) await relay.start();
    for (let index = 0; index < 50; index++) {
      await database.transaction((tx) =>
        publish(tx, schema, { apiKeyId: `two-${index % 5}`, aggregateVersion: BigInt(index) }),
      );
    }
    await eventually(async () => expect((await newRelay(database, "two").read()).depth).toBe(0));
    await eventually(() => expect(watched.seen).toHaveLength(50));
    await Promise.all(relays.map((relay) => relay.stop()));
    await watched.stop();
    await database.stop();
  });
});

describe("inbox", () => {
  test("an effect happens once per consumer, generation and event, also when tried at the same time", async () => {
    const database = await newDatabase();
    await database.sql`insert into keys values ('k', 0)`;
    const key = { consumer: "c", generation: 1, eventId: "e" };
    const effect = (of: typeof key) =>
      once(database, of, async (tx) => void (await tx`update keys set version = version + 1`));
    const outcomes = await Promise.all(Array.from({ length: 8 }, () => effect(key)));
    expect(outcomes.filter(Boolean)).toHaveLength(1);
    expect(await effect({ ...key, generation: 2 })).toBe(true);
    expect(await effect({ ...key, consumer: "d" })).toBe(true);
    expect(await effect({ ...key, eventId: "f" })).toBe(true);
    expect([...(await database.sql`select version from keys`)]).toEqual([{ version: "4" }]);
    await database.stop();
  });

  test("a failed effect leaves no row: the next attempt runs", async () => {
    const database = await newDatabase();
    const key = { consumer: "c", generation: 1, eventId: "e" };
    const failed = once(database, key, () => Promise.reject(new Error("no")));
    expect(await failed.catch((error: Error) => error.message)).toBe("no");
    expect(await once(database, key, () => Promise.resolve())).toBe(true);
    await database.stop();
  });

  test("rows live as long as their events can come again: retention, and dead letters", async () => {
    const database = await newDatabase();
    const retentionMs = 7 * 24 * 3_600_000;
    for (const days of [1, 6, 8, 30]) {
      await database.sql`insert into platform.inbox values ('c', 1, ${`e${days}`}, ${daysAgo(days)})`;
    }
    const parked = { deadLetterId: "", service: "c", reason: "", attempts: 1, parkTimeMs: 0 };
    const oldest = createRecord(schema, create(schema, { apiKeyId: "k" }), {
      source: "",
      clock: { ...systemClock, now: () => daysAgo(20).getTime() },
      random: systemRandom,
      traceparent: "",
    });
    const prunerWith = (records: EventRecord[]) =>
      createInboxPruner({
        service: "c",
        database,
        bus: {
          listParked: () =>
            Promise.resolve({ parked: records.map((record) => ({ ...parked, record })), nextPageToken: "" }),
        },
        retentionMs,
        clock: systemClock,
        log: silentLog,
      });
    expect(await prunerWith([oldest]).prune()).toBe(1);
    expect(await prunerWith([]).prune()).toBe(1);
    const left = await database.sql<{ event_id: string }[]>`select event_id from platform.inbox order by 1`;
    expect(left.map((row) => row.event_id)).toEqual(["e1", "e6"]);
    await database.stop();
  });
});
