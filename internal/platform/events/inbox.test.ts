import { create } from "@bufbuild/protobuf";
import { expect, test } from "bun:test";
import { join } from "node:path";
import { systemClock } from "../clock/clock.ts";
import { systemRandom } from "../clock/random.ts";
import { importMutant } from "../testing/mutant.ts";
import type { DeadLetter } from "./dead-letters.ts";
import { createInboxPruner, once } from "./inbox.ts";
import { newDatabase, schema } from "./outbox-fixture.ts";
import { silentLog } from "./redis/redis-broker-fixture.ts";
import { createRecord } from "./topics.ts";

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

type Inbox = typeof import("./inbox.ts");

function mutantInbox(from: string, to: string): Promise<Inbox> {
  return importMutant<Inbox>(join(import.meta.dir, "inbox.ts"), from, to);
}

/** Prunes rows of four ages, with a dead letter of 20 days and without: the ids that are left, when events are kept for 7 days. */
async function prune(createPruner: typeof createInboxPruner) {
  const database = await newDatabase();
  for (const days of [1, 6, 8, 30]) {
    await database.sql`INSERT INTO platform.inbox VALUES ('c', 1, ${`e${days}`}, ${daysAgo(days)})`;
  }
  const record = createRecord(schema, create(schema, { apiKeyId: "k" }), {
    source: "",
    clock: { ...systemClock, now: () => daysAgo(20).getTime() },
    random: systemRandom,
    traceparent: "",
  });
  const deadLetter = { deadLetterId: "", service: "c", record, reason: "", attempts: 1, parkTimeMs: 0 };
  const leftAfter = async (...deadLetters: readonly DeadLetter[]): Promise<string[]> => {
    const pruner = createPruner({
      service: "c",
      database,
      deadLetters: { list: () => Promise.resolve({ deadLetters, nextPageToken: "" }) },
      retentionMs: 7 * 24 * 3_600_000,
      clock: systemClock,
      log: silentLog,
    });
    await pruner.prune();
    const rows = await database.sql<{ event_id: string }[]>`SELECT event_id FROM platform.inbox ORDER BY 1`;
    return rows.map((row) => row.event_id);
  };
  const left = { withDeadLetter: await leftAfter(deadLetter), without: await leftAfter() };
  await database.stop();
  return left;
}

/** Handles an event eight times at the same time: how often the effect happened, and was said to have. */
async function race(handleOnce: typeof once) {
  const database = await newDatabase();
  await database.sql`INSERT INTO keys VALUES ('k', 0)`;
  const effect = (consumer: string, generation: number, eventId: string) =>
    handleOnce(database, { consumer, generation, eventId }, async (tx) => {
      await tx`UPDATE keys SET version = version + 1`;
    });
  const outcomes = await Promise.all(Array.from({ length: 8 }, () => effect("c", 1, "e")));
  const others = [await effect("c", 2, "e"), await effect("d", 1, "e"), await effect("c", 1, "f")];
  const [row] = await database.sql<{ version: string }[]>`SELECT version FROM keys`;
  await database.stop();
  return { said: outcomes.filter(Boolean).length, others, happened: Number(row?.version) };
}

function daysAgo(days: number): Date {
  return new Date(systemClock.now() - days * 24 * 3_600_000);
}
