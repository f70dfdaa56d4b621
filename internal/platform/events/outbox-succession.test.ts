import { fromBinary } from "@bufbuild/protobuf";
import { afterAll, beforeAll, expect, test } from "bun:test";
import { join } from "node:path";
import { eventually } from "../testing/eventually.ts";
import { importMutant } from "../testing/mutant.ts";
import type { EventRecord } from "../service/event-record.ts";
import { once } from "./inbox.ts";
import { environmentOf, type Mutant } from "../testing/mutant-process.ts";
import { createOutboxRelay } from "./outbox.ts";
import { newDatabase, publish, type RelayTarget, schema, startRelayTarget, topics } from "./outbox-fixture.ts";
import type { RelayOrder } from "./outbox-relay-child.ts";
import { topicOf } from "./topics.ts";

const outboxFile = join(import.meta.dir, "outbox.ts");
const tableFile = join(import.meta.dir, "outbox-table.ts");
const pageFile = join(import.meta.dir, "move-page.ts");
const childFile = join(import.meta.dir, "outbox-relay-child.ts");
/** Processes start slowly on a busy machine. */
const inProcesses = { timeoutMs: 25_000 };
const children = new Set<Bun.Subprocess>();
let target: RelayTarget;

beforeAll(async () => {
  target = await startRelayTarget();
});
afterAll(async () => {
  for (const child of children) child.kill("SIGKILL");
  await target[Symbol.asyncDispose]();
});

const allOnce = { a: [1, 2, 3, 4], b: [1, 2, 3, 4], effects: [4, 4] };

test("a relay killed between the bus's acknowledgement and the deletion: its successor repeats the batch, without effect", async () => {
  expect(await killed("acknowledged", "afterPublish")).toEqual({ waiting: 6, ...allOnce, repeats: 6 });
});

test("mutant: a relay that gives a repeat an id of its own is noticed", async () => {
  const { createOutboxRelay: createRelay } = await importMutant<{ createOutboxRelay: typeof createOutboxRelay }>(
    tableFile,
    "id: row.event_id,",
    "id: crypto.randomUUID(),",
    [outboxFile],
  );
  const outcome = await killed("renamed", "afterPublish", { createRelay });
  expect(outcome).toMatchObject({ repeats: 0, effects: [7, 7] });
});

test("a relay killed before it publishes: its successor publishes", async () => {
  expect(await killed("unpublished", "beforePublish")).toEqual({ waiting: 6, ...allOnce, repeats: 0 });
});

test("mutant: a relay that deletes before the bus has acknowledged loses events", async () => {
  const child = {
    file: tableFile,
    from: "return rows.map((row) =>",
    to: "await sql`DELETE FROM platform.outbox`; return rows.map((row) =>",
  };
  expect(await killed("lost", "beforePublish", { child })).toMatchObject({ waiting: 0, a: [4], b: [4] });
});

test("a relay that was stopped and wakes after another has taken over publishes nothing", async () => {
  expect(await woken("woken")).toEqual({ said: "fenced", ...allOnce, repeats: 0 });
});

test("mutant: a relay that does not say under which lease it publishes repeats what its successor published", async () => {
  const child = {
    file: pageFile,
    from: "broker.publish(records, term)",
    to: "broker.publish(records)",
  };
  const { said, repeats } = await woken("unfenced", { child });
  expect({ said, isRepeated: repeats > 0 }).toEqual({ said: "published", isRepeated: true });
});

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
  const [database, watched] = [await newDatabase(), await target.watch(service)];
  const [a, b] = [`${service}-a`, `${service}-b`];
  await database.sql`INSERT INTO keys VALUES (${a}, 0), (${b}, 0)`;
  for (let version = 1n; version <= 3n; version++) {
    for (const id of [a, b]) {
      await database.transaction((tx) => publish(tx, schema, { apiKeyId: id, aggregateVersion: version }));
    }
  }
  const consumer = target.bus.subscribe({
    service,
    topic: topicOf(schema),
    types: [schema.typeName],
    kind: "group",
    onFailure: "parkKey",
    backMs: 0,
    attemptsMax: 3,
    handle: async ({ id, subject }, { generation }) => {
      await once(database, { consumer: service, generation, eventId: id }, async (tx) => {
        await tx`UPDATE keys SET version = version + 1 WHERE id = ${subject}`;
      });
    },
  });
  await consumer.start();
  const order: RelayOrder = { service, databaseUrl: database.url, busUrl: target.url, topics, moment, signal };
  const child = Bun.spawn([process.execPath, childFile, JSON.stringify(order)], {
    env: mutant === undefined ? process.env : environmentOf(mutant),
    stdin: "ignore",
    stdout: "pipe",
    stderr: "inherit",
  });
  children.add(child);
  let said = "";
  void (async () => {
    for await (const text of child.stdout.pipeThrough(new TextDecoderStream())) said += text;
  })();
  const successor = target.newRelay(database, service, { createRelay });
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
      const last = [a, b].map((subject) => expect.objectContaining({ subject, version: 4 }));
      const seen = () => watched.seen.map((record) => ({ subject: record.subject, version: versionOf(record) }));
      await eventually(() => expect(seen()).toEqual(expect.arrayContaining(last)));
      await eventually(async () => {
        const state = (await target.bus.consumerGroups.states()).find((one) => one.service === service);
        expect(state).toMatchObject({ lag: 0 });
      });
      child.kill("SIGKILL");
      await child.exited;
      await successor.stop();
      await consumer.stop();
      await watched.stop();
      const firsts = [...new Map(watched.seen.toReversed().map((record) => [record.id, record])).values()].toReversed();
      const effects = await database.sql<{ version: string }[]>`SELECT version FROM keys ORDER BY id`;
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
  await eventually(() => expect(relays.said()).toEqual(["now"]), inProcesses);
  await relays.succeed();
  relays.child.kill("SIGCONT");
  await eventually(() => expect(relays.said()).toHaveLength(2), inProcesses);
  return { said: relays.said()[1], ...(await relays.outcome()) };
}

function versionOf({ data }: EventRecord): number {
  return Number(fromBinary(schema, data).aggregateVersion);
}
