import { create, fromBinary } from "@bufbuild/protobuf";
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { ApiKeyRevokedSchema } from "../../gen/muin/identity/v1/session_events_pb.ts";
import { systemClock } from "../clock/clock.ts";
import { systemRandom } from "../clock/random.ts";
import { migrate } from "../postgres/migrate.ts";
import { type OpenDatabase, openDatabase } from "../postgres/open-database.ts";
import { eventually } from "../testing/eventually.ts";
import { importMutant } from "../testing/mutant.ts";
import { sharedPostgres, startPostgres, type TestPostgres } from "../testing/postgres.ts";
import { startRedis, type TestRedis } from "../testing/redis.ts";
import type { TestBus } from "./event-bus.contract.ts";
import type { EventRecord, ParkedEvent } from "./event-bus.ts";
import type { Mutant } from "./mutant-preload.ts";
import type { RelayOrder } from "./outbox-relay-child.ts";
import { createInboxPruner, once, onceEach } from "./inbox.ts";
import { createOutboxRelay, createPublish, type OutboxRelay } from "./outbox.ts";
import { connectBus, silentLog, silentMetrics } from "./redis-bus-fixture.ts";
import { createRecord, subjectOf, topicOf, topicsOf } from "./topics.ts";

const schema = ApiKeyRevokedSchema;
const topics = topicsOf([schema]);
const outboxFile = join(import.meta.dir, "outbox.ts");
const childFile = join(import.meta.dir, "outbox-relay-child.ts");
const mutantPreload = join(import.meta.dir, "mutant-preload.ts");
const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const publish = createPublish<[typeof schema]>({
  source: "/muin/test",
  clock: systemClock,
  random: systemRandom,
  currentTraceparent: () => traceparent,
});

let redis: TestRedis;
let bus: TestBus;
const children = new Set<Bun.Subprocess>();

beforeAll(async () => {
  redis = await startRedis({ appendfsync: "no" });
  bus = connectBus(redis.url, { instance: "outbox", topics });
  await bus.start();
});
afterAll(async () => {
  for (const child of children) child.kill("SIGKILL");
  await bus.stop();
  await redis.stop();
});

async function newDatabase(server?: TestPostgres): Promise<OpenDatabase & { readonly url: string }> {
  const url = await (server ?? (await sharedPostgres())).createDatabase();
  await migrate({ url, migrations: [], log: silentLog });
  const database = openDatabase({ url, applicationName: "test" });
  await database.sql`create table keys (id text primary key, version bigint not null)`;
  return { ...database, url };
}

function newRelay(
  database: OpenDatabase,
  service: string,
  relayBus: Pick<TestBus, "publish" | "leaseholder"> = bus,
  createRelay: typeof createOutboxRelay = createOutboxRelay,
): OutboxRelay {
  return createRelay({
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

async function mutantRelay(from: string, to: string): Promise<typeof createOutboxRelay> {
  const mutant = await importMutant<{ createOutboxRelay: typeof createOutboxRelay }>(outboxFile, from, to);
  return mutant.createOutboxRelay;
}

/** Records in one transaction, commits another, then the first: what was published before and after that. */
async function lateCommit(service: string, createRelay: typeof createOutboxRelay): Promise<string[]> {
  const [database, watched] = [await newDatabase(), await watch(service)];
  const relay = newRelay(database, service, bus, createRelay);
  await relay.start();
  const [recorded, mayCommit] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const late = database.transaction(async (tx) => {
    await publish(tx, schema, { apiKeyId: `${service}-late` });
    recorded.resolve();
    await mayCommit.promise;
  });
  await recorded.promise;
  await database.transaction((tx) => publish(tx, schema, { apiKeyId: `${service}-soon` }));
  await eventually(() => expect(watched.seen.map(({ subject }) => subject)).toEqual([`${service}-soon`]));
  mayCommit.resolve();
  await late;
  await database.transaction((tx) => publish(tx, schema, { apiKeyId: `${service}-end` }));
  await eventually(() => expect(watched.seen.at(-1)?.subject).toBe(`${service}-end`));
  await relay.stop();
  await watched.stop();
  await database.stop();
  return watched.seen.map(({ subject }) => subject);
}

interface BrokenRules {
  /** What the child's relay does wrong. */
  readonly child?: Mutant;
  /** A relay that does something wrong, to succeed the child. */
  readonly createRelay?: typeof createOutboxRelay;
}

/**
 * Records three events each of two keys. A child's relay takes them, and is killed or stopped at a moment of it; then another relay
 * begins. A consumer makes the effect of each event through its inbox.
 */
async function succession(
  service: string,
  { moment, signal }: Pick<RelayOrder, "moment" | "signal">,
  { child: mutant, createRelay = createOutboxRelay }: BrokenRules = {},
) {
  const [database, watched] = [await newDatabase(), await watch(service)];
  const [a, b] = [`${service}-a`, `${service}-b`];
  await database.sql`insert into keys values (${a}, 0), (${b}, 0)`;
  for (let version = 1n; version <= 3n; version++) {
    for (const id of [a, b]) {
      await database.transaction((tx) => publish(tx, schema, { apiKeyId: id, aggregateVersion: version }));
    }
  }
  const consumer = bus.subscribe({
    service,
    topic: topicOf(schema),
    types: [schema.typeName],
    kind: "group",
    onFailure: "parkKey",
    backMs: 0,
    attemptsMax: 3,
    handle: async ({ id, subject }, { generation }) => {
      await once(database, { consumer: service, generation, eventId: id }, async (tx) => {
        await tx`update keys set version = version + 1 where id = ${subject}`;
      });
    },
  });
  await consumer.start();
  const order: RelayOrder = { service, databaseUrl: database.url, busUrl: redis.url, topics, moment, signal };
  const child = Bun.spawn([process.execPath, childFile, JSON.stringify(order)], {
    env:
      mutant === undefined
        ? process.env
        : { ...process.env, BUN_OPTIONS: `--preload=${mutantPreload}`, MUIN_TEST_MUTANT: JSON.stringify(mutant) },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "inherit",
  });
  children.add(child);
  let said = "";
  void (async () => {
    for await (const text of child.stdout.pipeThrough(new TextDecoderStream())) said += text;
  })();
  const successor = newRelay(database, service, bus, createRelay);
  const depth = async (): Promise<number> => (await successor.read()).depth;
  return {
    child,
    depth,
    /** Words that the child has said. */
    said: () => said.split("\n").slice(0, -1),
    /** Starts the successor; resolves when nothing waits in the outbox. */
    succeed: async () => {
      await successor.start();
      await database.transaction((tx) => publish(tx, schema, { apiKeyId: b, aggregateVersion: 4n }));
      await eventually(async () => expect(await depth()).toBe(0));
    },
    /** Ends everything once consumers have handled all: per key the versions in their order, without repeats; how many repeats; effects. */
    outcome: async () => {
      await database.transaction((tx) => publish(tx, schema, { apiKeyId: a, aggregateVersion: 4n }));
      await eventually(() => expect(versionOf(watched.seen.findLast(({ subject }) => subject === a))).toBe(4));
      await eventually(async () => {
        const state = (await bus.consumerStates()).find((one) => one.service === service);
        expect(state).toMatchObject({ lag: 0 });
      });
      child.kill("SIGKILL");
      await child.exited;
      await successor.stop();
      await consumer.stop();
      await watched.stop();
      const firsts = [...new Map(watched.seen.toReversed().map((record) => [record.id, record])).values()].toReversed();
      const effects = await database.sql<{ version: string }[]>`select version from keys order by id`;
      await database.stop();
      return {
        a: firsts.filter(({ subject }) => subject === a).map(versionOf),
        b: firsts.filter(({ subject }) => subject === b).map(versionOf),
        repeats: watched.seen.length - firsts.length,
        effects: effects.map(({ version }) => Number(version)),
      };
    },
  };
}

/** A relay's process is killed at a moment of its first batch and another succeeds it: what was left, and what came of it. */
async function killed(service: string, moment: RelayOrder["moment"], broken?: BrokenRules) {
  const relays = await succession(service, { moment, signal: "SIGKILL" }, broken);
  await relays.child.exited;
  expect(relays.child.signalCode).toBe("SIGKILL");
  const waiting = await relays.depth();
  await relays.succeed();
  return { waiting, ...(await relays.outcome()) };
}

/** A relay's process is stopped before it publishes, succeeded by another, and woken: what it said, and what came of it. */
async function woken(service: string, broken?: BrokenRules) {
  const relays = await succession(service, { moment: "beforePublish", signal: "SIGSTOP" }, broken);
  await eventually(() => expect(relays.said()).toEqual(["now"]));
  await relays.succeed();
  relays.child.kill("SIGCONT");
  await eventually(() => expect(relays.said()).toHaveLength(2));
  return { said: relays.said()[1], ...(await relays.outcome()) };
}

function versionOf(record: EventRecord | undefined): number {
  return record === undefined ? 0 : Number(fromBinary(schema, record.data).aggregateVersion);
}

type Inbox = typeof import("./inbox.ts");

function mutantInbox(from: string, to: string): Promise<Inbox> {
  return importMutant<Inbox>(join(import.meta.dir, "inbox.ts"), from, to);
}

/** Handles events together that partly came before: the ids that each effect was given. */
async function handleSeveral(handleEach: typeof onceEach): Promise<readonly string[]> {
  const database = await newDatabase();
  const handled: string[] = [];
  for (const eventIds of [
    ["a", "b", "b"],
    ["b", "c"],
    ["a", "c"],
  ]) {
    await handleEach(database, { consumer: "c", generation: 1, eventIds }, async (_, fresh) => {
      handled.push([...fresh].toSorted().join());
    });
  }
  await database.stop();
  return handled;
}

/** Prunes rows of four ages, with a dead letter of 20 days and without: the ids that are left, when events are kept for 7 days. */
async function prune(createPruner: typeof createInboxPruner) {
  const database = await newDatabase();
  for (const days of [1, 6, 8, 30]) {
    await database.sql`insert into platform.inbox values ('c', 1, ${`e${days}`}, ${daysAgo(days)})`;
  }
  const record = createRecord(schema, create(schema, { apiKeyId: "k" }), {
    source: "",
    clock: { ...systemClock, now: () => daysAgo(20).getTime() },
    random: systemRandom,
    traceparent: "",
  });
  const deadLetter = { deadLetterId: "", service: "c", record, reason: "", attempts: 1, parkTimeMs: 0 };
  const leftAfter = async (...parked: readonly ParkedEvent[]): Promise<string[]> => {
    const pruner = createPruner({
      service: "c",
      database,
      bus: { listParked: () => Promise.resolve({ parked, nextPageToken: "" }) },
      retentionMs: 7 * 24 * 3_600_000,
      clock: systemClock,
      log: silentLog,
    });
    await pruner.prune();
    const rows = await database.sql<{ event_id: string }[]>`select event_id from platform.inbox order by 1`;
    return rows.map((row) => row.event_id);
  };
  const left = { withDeadLetter: await leftAfter(deadLetter), without: await leftAfter() };
  await database.stop();
  return left;
}

/** Handles an event eight times at the same time: how often the effect happened, and was said to have. */
async function race(handleOnce: typeof once) {
  const database = await newDatabase();
  await database.sql`insert into keys values ('k', 0)`;
  const effect = (consumer: string, generation: number, eventId: string) =>
    handleOnce(database, { consumer, generation, eventId }, async (tx) => {
      await tx`update keys set version = version + 1`;
    });
  const outcomes = await Promise.all(Array.from({ length: 8 }, () => effect("c", 1, "e")));
  const others = [await effect("c", 2, "e"), await effect("d", 1, "e"), await effect("c", 1, "f")];
  const [row] = await database.sql<{ version: string }[]>`select version from keys`;
  await database.stop();
  return { said: outcomes.filter(Boolean).length, others, happened: Number(row?.version) };
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
    expect(await lateCommit("late", createOutboxRelay)).toEqual(["late-soon", "late-late", "late-end"]);
  });

  test("mutant: a relay that remembers how far it came skips a late commit", async () => {
    const broken = await mutantRelay(
      "if (rows.length === 0) return false;",
      `const fresh = rows.filter((row) => Number(row.sequence) > (globalThis.sequence ?? 0));
       rows.splice(0, rows.length, ...fresh);
       if (rows.length === 0) return false;
       globalThis.sequence = Number(rows.at(-1).sequence);`,
    );
    expect(await lateCommit("skipped", broken)).toEqual(["skipped-soon", "skipped-end"]);
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

  // What the rule is for: the same two changes, recorded before or after the row's lock was taken.
  test.each([
    ["after its row's lock", "after", ["v1", "v2"]],
    ["before it, the mutant", "before", ["v2", "v1"]],
  ] as const)(
    "an aggregate's events stand in the order of its versions when recorded %s",
    async (_, when, expected) => {
      const database = await newDatabase();
      await database.sql`insert into keys values ('k', 0)`;
      const [begun, mayGoOn] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
      const first = database.transaction(async (tx) => {
        if (when === "before") await publish(tx, schema, { apiKeyId: "v2" });
        begun.resolve();
        await mayGoOn.promise;
        await tx`update keys set version = version + 1`;
        if (when === "after") await publish(tx, schema, { apiKeyId: "v2" });
      });
      await begun.promise;
      await database.transaction(async (tx) => {
        await tx`update keys set version = version + 1`;
        await publish(tx, schema, { apiKeyId: "v1" });
      });
      mayGoOn.resolve();
      await first;
      const rows = await database.sql<{ subject: string }[]>`select subject from platform.outbox order by sequence`;
      expect(rows.map(({ subject }) => subject)).toEqual([...expected]);
      await database.stop();
    },
  );

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

  test("PostgreSQL is killed under load: what was committed is published, what was not is not", async () => {
    await using server = await startPostgres();
    const [database, watched] = [await newDatabase(server), await watch("crash")];
    const relay = newRelay(database, "crash");
    await relay.start();
    const [committed, failed] = [new Set<string>(), new Set<string>()];
    let next = 0;
    for (let kills = 0; kills < 3; kills++) {
      const stopping = new AbortController();
      const load = Array.from({ length: 4 }, async () => {
        while (!stopping.signal.aborted) {
          const id = `crash-${++next}`;
          await database
            .transaction(async (tx) => {
              await tx`insert into keys values (${id}, 1)`;
              await publish(tx, schema, { apiKeyId: id });
            })
            .then(
              () => committed.add(id),
              () => failed.add(id), // Its outcome is unknown: the table below tells.
            );
        }
      });
      const before = committed.size;
      await eventually(() => expect(committed.size).toBeGreaterThan(before + 30));
      await server.kill("SIGKILL");
      stopping.abort();
      await Promise.all(load);
      await server.restart();
    }
    const stored = await eventually(() => database.sql<{ id: string }[]>`select id from keys`);
    const ids = stored.map(({ id }) => id).toSorted();
    expect(ids.filter((id) => committed.has(id))).toHaveLength(committed.size);
    await eventually(() => expect([...new Set(watched.seen.map(({ subject }) => subject))].toSorted()).toEqual(ids));
    await eventually(async () => expect((await relay.read()).depth).toBe(0));
    await relay.stop();
    await watched.stop();
    await database.stop();
  });

  const allOnce = { a: [1, 2, 3, 4], b: [1, 2, 3, 4], effects: [4, 4] };

  test("a relay killed between the bus's acknowledgement and the deletion: its successor repeats the batch, without effect", async () => {
    expect(await killed("acknowledged", "afterPublish")).toEqual({ waiting: 6, ...allOnce, repeats: 6 });
  });

  test("mutant: a relay that gives a repeat an id of its own is noticed", async () => {
    const createRelay = await mutantRelay("id: row.event_id,", "id: crypto.randomUUID(),");
    const outcome = await killed("renamed", "afterPublish", { createRelay });
    expect(outcome).toMatchObject({ repeats: 0, effects: [7, 7] });
  });

  test("a relay killed before it publishes: its successor publishes", async () => {
    expect(await killed("unpublished", "beforePublish")).toEqual({ waiting: 6, ...allOnce, repeats: 0 });
  });

  test("mutant: a relay that deletes before the bus has acknowledged loses events", async () => {
    const publishing = "await bus.publish(rows.map(toRecord), fence);";
    const child = {
      file: outboxFile,
      from: publishing,
      to: `await database.sql\`delete from platform.outbox\`; ${publishing}`,
    };
    expect(await killed("lost", "beforePublish", { child })).toMatchObject({ waiting: 0, a: [4], b: [4] });
  });

  test("a relay that was stopped and wakes after another has taken over publishes nothing", async () => {
    expect(await woken("woken")).toEqual({ said: "fenced", ...allOnce, repeats: 0 });
  });

  test("mutant: a relay that does not say under which lease it publishes repeats what its successor published", async () => {
    const child = {
      file: outboxFile,
      from: "bus.publish(rows.map(toRecord), fence)",
      to: "bus.publish(rows.map(toRecord))",
    };
    const { said, repeats } = await woken("unfenced", { child });
    expect({ said, isRepeated: repeats > 0 }).toEqual({ said: "published", isRepeated: true });
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
    expect(await race(once)).toEqual({ said: 1, others: [true, true, true], happened: 4 });
  });

  test("mutant: without a look at the row a repeat has an effect", async () => {
    const { once: broken } = await mutantInbox("if (count === 0) return false;", "");
    expect(await race(broken)).toMatchObject({ happened: 11 });
  });

  test("mutant: without the generation in the row a replay has no effect", async () => {
    const { once: broken } = await mutantInbox("${key.generation}, ${key.eventId}", "1, ${key.eventId}");
    expect(await race(broken)).toMatchObject({ others: [false, true, true], happened: 3 });
  });

  test("of several events each has its effect once, also beside those that came before", async () => {
    expect(await handleSeveral(onceEach)).toEqual(["a,b", "c"]);
  });

  test("mutant: an effect that is given all of several events repeats some", async () => {
    const { onceEach: broken } = await mutantInbox("new Set(rows.map((row) => row.event_id))", "new Set(eventIds)");
    expect(await handleSeveral(broken)).toEqual(["a,b", "b,c"]);
  });

  test("of several events whose effect failed none has a row", async () => {
    const database = await newDatabase();
    const handled: string[] = [];
    const several = { consumer: "c", generation: 1, eventIds: ["c", "d"] };
    const failed = onceEach(database, several, () => Promise.reject(new Error("no")));
    expect(await failed.catch((error: Error) => error.message)).toBe("no");
    await onceEach(database, several, async (_, fresh) => void handled.push(...fresh));
    expect(handled.toSorted()).toEqual(["c", "d"]);
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
    expect(await prune(createInboxPruner)).toEqual({ withDeadLetter: ["e1", "e6", "e8"], without: ["e1", "e6"] });
  });

  test.each([
    ["retention", "clock.now() - retentionMs", "clock.now()", { without: [] }],
    ["dead letters", "Math.min(beforeMs, record.timeMs)", "beforeMs", { withDeadLetter: ["e1", "e6"] }],
  ])("mutant: a pruner that forgets %s removes too much", async (_, from, to, left) => {
    const { createInboxPruner: broken } = await mutantInbox(from, to);
    expect(await prune(broken)).toMatchObject(left);
  });
});
