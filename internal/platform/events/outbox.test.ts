import { create } from "@bufbuild/protobuf";
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { systemClock } from "../clock/clock.ts";
import { systemRandom } from "../clock/random.ts";
import { eventually } from "../testing/eventually.ts";
import { createHeldClock } from "../testing/held-clock.ts";
import { importMutant } from "../testing/mutant.ts";
import { startPostgres } from "../testing/postgres.ts";
import type { TestBus } from "./contract/bus-fixture.ts";
import { createOutboxRelay } from "./outbox.ts";
import { newDatabase, publish, type RelayTarget, schema, startRelayTarget, traceparent } from "./outbox-fixture.ts";
import { createRecord } from "./topics.ts";

let target: RelayTarget;

beforeAll(async () => {
  target = await startRelayTarget();
});
afterAll(() => target[Symbol.asyncDispose]());

async function mutantRelay(file: string, from: string, to: string): Promise<typeof createOutboxRelay> {
  const mutant = await importMutant<{ createOutboxRelay: typeof createOutboxRelay }>(
    join(import.meta.dir, file),
    from,
    to,
    [join(import.meta.dir, "outbox.ts")],
  );
  return mutant.createOutboxRelay;
}

/** Records in one transaction, commits another, then the first: what was published before and after that. */
async function lateCommit(service: string, createRelay: typeof createOutboxRelay): Promise<string[]> {
  const [database, watched] = [await newDatabase(), await target.watch(service)];
  const relay = target.newRelay(database, service, { createRelay });
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

describe("outbox", () => {
  test("events that were made one by one are recorded together, in their order, or none of them", async () => {
    const database = await newDatabase();
    await database.sql`UPDATE platform.epoch SET epoch = 3`;
    const made = Array.from({ length: 20 }, (_, place) => publish.make(schema, { apiKeyId: `odd "\\,{} ${place}` }));
    await database.transaction((tx) => publish.record(tx, made));
    const large = publish.make(schema, { apiKeyId: "x".repeat(2 ** 20) });
    const refused = database.transaction((tx) => publish.record(tx, [...made, large]));
    expect(await refused.catch((error: unknown) => error)).toMatchObject({ reason: "EVENT_TOO_LARGE" });
    const rows = await database.sql<Record<string, unknown>[]>`SELECT * FROM platform.outbox ORDER BY sequence`;
    expect(
      rows.map(({ event_id, source, type, subject, topic, time_ms, traceparent: trace, data, epoch }) => ({
        id: event_id,
        source,
        type,
        subject,
        topic,
        timeMs: Number(time_ms),
        epoch: Number(epoch),
        traceparent: trace,
        data: new Uint8Array(data as Buffer),
      })),
    ).toEqual(made.map((record) => Object.assign({}, record, { epoch: 3, traceparent })));
    await database.stop();
  });

  test("a recorded event is published if and only if its transaction commits, as soon as it does", async () => {
    const [database, watched] = [await newDatabase(), await target.watch("commit")];
    // It never looks by itself while its clock stands still: it must be told.
    const relay = target.newRelay(database, "commit", { clock: createHeldClock() });
    await relay.start();
    await database.transaction((tx) => publish(tx, schema, { apiKeyId: "commit-1", aggregateVersion: 7n }));
    await eventually(() => expect(watched.seen).toHaveLength(1)); // The lease is held from here on.
    const rolledBack = database.transaction(async (tx) => {
      await publish(tx, schema, { apiKeyId: "commit-no" });
      throw new Error("no");
    });
    expect(await rolledBack.catch((error: Error) => error.message)).toBe("no");
    await database.transaction((tx) => publish(tx, schema, { apiKeyId: "commit-2" }));
    await eventually(() => expect(watched.seen.map(({ subject }) => subject)).toEqual(["commit-1", "commit-2"]));
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
    await eventually(async () => expect(await relay.read()).toEqual({ depth: 0, ageMs: 0, parked: 0 }));
    await relay.stop();
    await watched.stop();
    await database.stop();
  });

  test("an event carries the epoch that its database had when it was recorded", async () => {
    const [database, watched] = [await newDatabase(), await target.watch("epoch")];
    await database.transaction((tx) => publish(tx, schema, { apiKeyId: "epoch-1" }));
    await database.sql`UPDATE platform.epoch SET epoch = 2`;
    await database.transaction((tx) => publish(tx, schema, { apiKeyId: "epoch-2" }));
    const relay = target.newRelay(database, "epoch");
    await relay.start();
    await eventually(() => expect(watched.seen).toMatchObject([{ epoch: 0 }, { epoch: 2 }]));
    await relay.stop();
    await watched.stop();
    await database.stop();
  });

  test("a row of which the relay was not told is found within a second", async () => {
    const [database, watched] = [await newDatabase(), await target.watch("untold")];
    await database.sql`ALTER TABLE platform.outbox DISABLE TRIGGER USER`;
    const clock = createHeldClock();
    const relay = target.newRelay(database, "untold", { clock });
    await relay.start();
    await eventually(() => expect(clock.asleep()).toContain(1000)); // It has looked, and found nothing.
    await database.transaction((tx) => publish(tx, schema, { apiKeyId: "untold-1" }));
    await clock.pass(1000);
    await eventually(() => expect(watched.seen).toHaveLength(1));
    await relay.stop();
    await watched.stop();
    await database.stop();
  });

  test("a row of a late commit is not skipped", async () => {
    expect(await lateCommit("late", createOutboxRelay)).toEqual(["late-soon", "late-late", "late-end"]);
  });

  test("mutant: a relay that remembers how far it came skips a late commit", async () => {
    const broken = await mutantRelay(
      "move-page.ts",
      "if (rows.length === 0) return false;",
      `const fresh = rows.filter((row) => Number(row.sequence) > (globalThis.sequence ?? 0));
       rows.splice(0, rows.length, ...fresh);
       if (rows.length === 0) return false;
       globalThis.sequence = Number(rows.at(-1).sequence);`,
    );
    expect(await lateCommit("skipped", broken)).toEqual(["skipped-soon", "skipped-end"]);
  });

  test("concurrent changes of one aggregate are published in the order of their commits", async () => {
    const [database, watched] = [await newDatabase(), await target.watch("order")];
    const relay = target.newRelay(database, "order");
    await relay.start();
    await database.sql`INSERT INTO keys VALUES ('order-1', 0), ('order-2', 0)`;
    const change = (id: string) =>
      database.transaction(async (tx) => {
        const [row] = await tx<{ version: string }[]>`
          UPDATE keys SET version = version + 1 WHERE id = ${id} RETURNING version`;
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
      await database.sql`INSERT INTO keys VALUES ('k', 0)`;
      const [begun, mayGoOn] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
      const first = database.transaction(async (tx) => {
        if (when === "before") await publish(tx, schema, { apiKeyId: "v2" });
        begun.resolve();
        await mayGoOn.promise;
        await tx`UPDATE keys SET version = version + 1`;
        if (when === "after") await publish(tx, schema, { apiKeyId: "v2" });
      });
      await begun.promise;
      await database.transaction(async (tx) => {
        await tx`UPDATE keys SET version = version + 1`;
        await publish(tx, schema, { apiKeyId: "v1" });
      });
      mayGoOn.resolve();
      await first;
      const rows = await database.sql<{ subject: string }[]>`SELECT subject FROM platform.outbox ORDER BY sequence`;
      expect(rows.map(({ subject }) => subject)).toEqual([...expected]);
      await database.stop();
    },
  );

  test("while the bus is away rows wait, and a failed batch comes again with the same ids", async () => {
    const [database, watched] = [await newDatabase(), await target.watch("away")];
    let [isAway, calls] = [true, 0];
    const flaky: Pick<TestBus, "publish"> = {
      publish: async (records, term) => {
        calls++;
        await target.bus.publish(records, term);
        if (isAway) throw new Error("the answer was lost");
      },
    };
    const relay = target.newRelay(database, "away", { broker: flaky });
    await relay.start();
    await database.transaction((tx) => publish(tx, schema, { apiKeyId: "away-1" }));
    await eventually(() => expect(calls).toBeGreaterThan(1));
    expect(await relay.read()).toMatchObject({ depth: 1, parked: 0 });
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
    const [database, watched] = [await newDatabase(server), await target.watch("crash")];
    const relay = target.newRelay(database, "crash");
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
              await tx`INSERT INTO keys VALUES (${id}, 1)`;
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
    const stored = await eventually(() => database.sql<{ id: string }[]>`SELECT id FROM keys`);
    const ids = stored.map(({ id }) => id).toSorted();
    expect(ids.filter((id) => committed.has(id))).toHaveLength(committed.size);
    await eventually(() => expect([...new Set(watched.seen.map(({ subject }) => subject))].toSorted()).toEqual(ids));
    await eventually(async () => expect((await relay.read()).depth).toBe(0));
    await relay.stop();
    await watched.stop();
    await database.stop();
  });

  test("two relays of one database: only the holder of the lease moves rows", async () => {
    const [database, watched] = [await newDatabase(), await target.watch("two")];
    const relays = [target.newRelay(database, "two"), target.newRelay(database, "two")];
    for (const relay of relays) await relay.start();
    for (let index = 0; index < 50; index++) {
      await database.transaction((tx) =>
        publish(tx, schema, { apiKeyId: `two-${index % 5}`, aggregateVersion: BigInt(index) }),
      );
    }
    await eventually(async () => expect((await target.newRelay(database, "two").read()).depth).toBe(0));
    await eventually(() => expect(watched.seen).toHaveLength(50));
    await Promise.all(relays.map((relay) => relay.stop()));
    await watched.stop();
    await database.stop();
  });
});
