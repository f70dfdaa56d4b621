import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import type { OpenDatabase } from "../postgres/open-database.ts";
import { eventually } from "../testing/eventually.ts";
import { createHeldClock } from "../testing/held-clock.ts";
import { caught, importMutant } from "../testing/mutant.ts";
import { environmentOf } from "../testing/mutant-process.ts";
import { createOutboxRelay } from "./outbox.ts";
import { newDatabase, publish, type RelayTarget, schema, startRelayTarget, topics } from "./outbox-fixture.ts";
import type { RelayOrder } from "./outbox-relay-child.ts";

const outboxFile = join(import.meta.dir, "outbox.ts");
const tableFile = join(import.meta.dir, "outbox-table.ts");
const pageFile = join(import.meta.dir, "move-page.ts");
let target: RelayTarget;

beforeAll(async () => {
  target = await startRelayTarget();
});
afterAll(() => target[Symbol.asyncDispose]());

/** A database whose relay's clock stands still, so that nothing is tried again by itself until the test lets time pass. */
async function startParking(service: string, createRelay = createOutboxRelay) {
  const [database, watched, clock] = [await newDatabase(), await target.watch(service), createHeldClock()];
  const relay = target.newRelay(database, service, { createRelay, clock });
  return {
    database,
    relay,
    clock,
    record: (key: string, version: bigint) => record(database, `${service}-${key}`, version),
    spoil: (key: string, version: bigint) => spoil(database, `${service}-${key}`, version),
    mend: () => mend(database),
    /** What is on the bus, as key and version. */
    seen: () => watched.seen.map(({ subject, traceparent: name }) => `${subject.slice(service.length + 1)}${name}`),
    parked: async () =>
      (await relay.parked("", 100)).map(({ subject, attempts, reason }) => ({
        key: subject.slice(service.length + 1),
        attempts,
        reason,
      })),
    [Symbol.asyncDispose]: async () => {
      await relay.stop();
      await watched.stop();
      await database.stop();
    },
  };
}

/** Records an event and names it by its version, in the one field of a record that the bus does not look at. */
async function record(database: OpenDatabase, apiKeyId: string, aggregateVersion: bigint): Promise<void> {
  await database.transaction(async (tx) => {
    await publish(tx, schema, { apiKeyId, aggregateVersion });
    await tx`UPDATE platform.outbox SET traceparent = ${aggregateVersion.toString()}
      WHERE sequence = (SELECT max(sequence) FROM platform.outbox WHERE subject = ${apiKeyId})`;
  });
}

/** Makes an event too large for the bus. */
async function spoil(database: OpenDatabase, subject: string, version: bigint): Promise<void> {
  await database.sql`UPDATE platform.outbox SET data = data || decode(repeat('00', ${1 << 20}), 'hex')
    WHERE subject = ${subject} AND traceparent = ${version.toString()}`;
}

async function mend(database: OpenDatabase): Promise<void> {
  await database.sql`UPDATE platform.outbox SET data = substring(data FOR 20) WHERE octet_length(data) > 1048576`;
}

/** An event of key b cannot be published, and is given back in the end: what others see at each step, each within `timeoutMs`. */
async function parkAndRedrive(service: string, createRelay = createOutboxRelay, timeoutMs = 10_000): Promise<void> {
  const soon = (check: () => Promise<void> | void) => eventually(check, { timeoutMs });
  await using parking = await startParking(service, createRelay);
  const { relay, record, seen, parked } = parking;
  for (const [key, version] of [
    ["a", 1n],
    ["b", 1n],
    ["b", 2n],
    ["a", 2n],
  ] as const)
    await record(key, version);
  await parking.spoil("b", 1n);
  await relay.start();
  await soon(() => expect(seen()).toEqual(["a1", "a2"]));
  const behind = { key: "b", attempts: 0, reason: "" };
  const refused = { key: "b", attempts: 1, reason: expect.stringMatching(/bytes/) as string };
  await soon(async () => expect(await parked()).toEqual([refused, behind]));
  await record("b", 3n);
  await record("a", 3n);
  await soon(async () => expect(await parked()).toEqual([refused, behind, behind]));
  await soon(() => expect(seen()).toEqual(["a1", "a2", "a3"]));
  expect(await relay.read()).toEqual({ depth: 0, ageMs: 0, parked: 3 });
  expect(await relay.redrive(`${service}-a`)).toBe(0);

  // Given back while nothing is mended.
  expect(await relay.redrive(`${service}-b`)).toBe(3);
  await soon(async () => expect(await parked()).toEqual([refused, behind, behind]));
  expect(seen()).toEqual(["a1", "a2", "a3"]);

  await parking.mend();
  expect(await relay.redrive(undefined)).toBe(3);
  await soon(() => expect(seen()).toEqual(["a1", "a2", "a3", "b1", "b2", "b3"]));
  await soon(async () => expect(await relay.read()).toEqual({ depth: 0, ageMs: 0, parked: 0 }));
  expect(await relay.redrive(undefined)).toBe(0);
}

describe("an event that the bus refuses for itself", () => {
  test("is parked with those of its key, holds up no other, and is redriven in order", () => parkAndRedrive("park"));

  test.each([
    ["fails its page", pageFile, "return publishSingly(broker, rows, term);", "throw error;"],
    ["is parked without those behind it", tableFile, "if (others.length > 0) {", "if (others.length > 1e9) {"],
    ["is overtaken by later ones", tableFile, ") AS is_behind", ") AND FALSE AS is_behind"],
    [
      "is redriven by itself",
      tableFile,
      "WHERE parked_ms IS NOT NULL AND (${subject}",
      "WHERE attempts > 0 AND (${subject}",
    ],
    ["is thrown away", pageFile, "await deleteRows(database, published);", "await deleteRows(database, rows);"],
  ])("mutant: it %s", async (name, file, from, to) => {
    const mutant = await importMutant<{ createOutboxRelay: typeof createOutboxRelay }>(file, from, to, [outboxFile]);
    await caught(() => parkAndRedrive(name.replaceAll(" ", "-"), mutant.createOutboxRelay, 3000));
  });

  test("is tried again after 1, 4, 16 and 64 seconds, and then only when it is asked for", async () => {
    await using parking = await startParking("again");
    const { relay, clock, parked } = parking;
    await parking.record("b", 1n);
    await parking.spoil("b", 1n);
    await relay.start();
    const attemptsAre = (attempts: number) =>
      eventually(async () => {
        await clock.pass(0); // Wakes a relay that fell asleep after time had passed.
        expect(await parked()).toMatchObject([{ key: "b", attempts }]);
      });
    await attemptsAre(1);
    for (const [place, ms] of [1000, 4000, 16_000, 64_000].entries()) {
      await clock.pass(ms - 1);
      await parking.record("a", BigInt(place));
      await eventually(() => expect(parking.seen()).toHaveLength(place + 1)); // It has looked.
      await attemptsAre(place + 1);
      await clock.pass(1000);
      await attemptsAre(place + 2);
    }
    await clock.pass(3_600_000);
    await parking.record("a", 9n);
    await eventually(() => expect(parking.seen()).toContain("a9"));
    await attemptsAre(5);
    await parking.mend();
    expect(await relay.redrive(undefined)).toBe(1);
    await eventually(() => expect(parking.seen()).toContain("b1"));
  });

  test("of a topic that the bus does not know: by itself once the topic is known", async () => {
    await using parking = await startParking("topic");
    await parking.record("a", 1n);
    await parking.record("b", 1n);
    const { sql } = parking.database;
    await sql`UPDATE platform.outbox SET topic = 'test.unknown' WHERE subject = 'topic-b'`;
    await parking.relay.start();
    await eventually(async () =>
      expect(await parking.parked()).toMatchObject([{ key: "b", reason: expect.stringContaining("test.unknown") }]),
    );
    expect(parking.seen()).toEqual(["a1"]);
    await sql`UPDATE platform.outbox SET topic = 'identity.session'`;
    await parking.clock.pass(1000);
    await eventually(async () => {
      await parking.clock.pass(0); // Wakes a relay that fell asleep after time had passed.
      expect(parking.seen()).toEqual(["a1", "b1"]);
    });
  });
});

describe("a relay killed while it parks", () => {
  test.each([
    ["before it parks anything", pageFile, "await parkRows("],
    ["between the refused row and those behind it", tableFile, "if (others.length > 0) {"],
  ])("%s: its successor loses nothing and keeps the order", async (when, file, at) => {
    const service = `killed-${when.length}`;
    await using parking = await startParking(service);
    const { database, relay, record, seen } = parking;
    for (const [key, version] of [
      ["a", 1n],
      ["b", 1n],
      ["b", 2n],
      ["a", 2n],
    ] as const)
      await record(key, version);
    await parking.spoil("b", 1n);
    const [databaseUrl, busUrl] = [database.url, target.url];
    const order: RelayOrder = { service, databaseUrl, busUrl, topics, moment: "never", signal: "SIGKILL" };
    const child = Bun.spawn([process.execPath, join(import.meta.dir, "outbox-relay-child.ts"), JSON.stringify(order)], {
      env: environmentOf({ file, from: at, to: `process.kill(process.pid, "SIGKILL"); ${at}` }),
      stdin: "ignore",
      stdout: "inherit",
      stderr: "inherit",
    });
    await child.exited;
    expect(child.signalCode).toBe("SIGKILL");
    await relay.start();
    await record("b", 3n);
    await eventually(async () => expect(await relay.read()).toEqual({ depth: 0, ageMs: 0, parked: 3 }));
    await parking.mend();
    expect(await relay.redrive(undefined)).toBe(3);
    await eventually(() => expect(new Set(seen())).toEqual(new Set(["a1", "a2", "b1", "b2", "b3"])));
    expect(seen().filter((name) => name.startsWith("b"))).toEqual(["b1", "b2", "b3"]);
  });
});
