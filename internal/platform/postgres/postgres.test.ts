import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import postgres from "postgres";
import { systemClock } from "../clock/clock.ts";
import { MuinError } from "../errors/muin-error.ts";
import { createMetrics } from "../telemetry/create-metrics.ts";
import type { Logger } from "../telemetry/logger.ts";
import { eventually } from "../testing/eventually.ts";
import { caught, importMutant } from "../testing/mutant.ts";
import { sharedPostgres, startPostgres } from "../testing/postgres.ts";
import { migrate } from "./migrate.ts";
import { openDatabase, openReadOnlyDatabase } from "./open-database.ts";

const nothing = () => undefined;
const log: Logger = { debug: nothing, info: nothing, warn: nothing, error: nothing, child: () => log };
const first = {
  name: "0001_words",
  sql: "create table words (word text primary key); insert into words values ('a');",
};
const second = { name: "0002_more_words", sql: "insert into words values ('b')" };

async function reasonOf(work: Promise<unknown>): Promise<string> {
  const error: unknown = await work.then(
    () => undefined,
    (error: unknown) => error,
  );
  return error instanceof MuinError ? `${error.code} ${error.reason}` : `not a MuinError: ${String(error)}`;
}

/** By all time, the clock has passed every deadline at once. */
async function countsTimeAwake(open: typeof openDatabase): Promise<void> {
  const clock = {
    ...systemClock,
    sleep: () => Promise.resolve(),
    sleepAwake: (ms: number, signal?: AbortSignal) => systemClock.sleep(ms, signal),
  };
  const url = await (await sharedPostgres()).createDatabase();
  const database = open({ url, applicationName: "test", clock });
  await using stack = new AsyncDisposableStack();
  stack.defer(() => database.stop());
  expect(await reasonOf(database.sql`SELECT 1`)).toBe("not a MuinError: undefined");
  expect(await reasonOf(database.transaction((tx) => tx`SELECT 1`))).toBe("not a MuinError: undefined");
  expect(await database.probe()).toBeUndefined();
}

describe("database", () => {
  test("a transaction commits what it returns and rolls back what it throws", async () => {
    const database = openDatabase({ url: await (await sharedPostgres()).createDatabase(), applicationName: "test" });
    await database.sql`CREATE TABLE rows (id int PRIMARY KEY)`;
    expect(
      await database.transaction((tx) => tx`INSERT INTO rows VALUES (1) RETURNING id`.then((rows) => rows.length)),
    ).toBe(1);
    const failed = database.transaction(async (tx) => {
      await tx`INSERT INTO rows VALUES (2)`;
      throw new Error("no");
    });
    expect(await failed.catch((error: Error) => error.message)).toBe("no");
    expect([...(await database.sql`SELECT id FROM rows`)]).toEqual([{ id: 1 }]);
    await database.stop();
  });

  test("transactions that the server breaks off are tried again", async () => {
    const database = openDatabase({ url: await (await sharedPostgres()).createDatabase(), applicationName: "test" });
    await database.sql`CREATE TABLE rows (id int PRIMARY KEY, n int NOT NULL)`;
    await database.sql`INSERT INTO rows VALUES (1, 0), (2, 0)`;
    // Each holds its first row before the other asks for it, so one of the two must be broken off.
    const [meet, arrived] = [Promise.withResolvers<void>(), new Set<number>()];
    const cross = (from: number, to: number) =>
      database.transaction(async (tx) => {
        await tx`UPDATE rows SET n = n + 1 WHERE id = ${from}`;
        if (arrived.add(from).size === 2) meet.resolve();
        await meet.promise;
        await tx`UPDATE rows SET n = n + 1 WHERE id = ${to}`;
      });
    await Promise.all([cross(1, 2), cross(2, 1)]);
    expect([...(await database.sql`SELECT n FROM rows`)]).toEqual([{ n: 2 }, { n: 2 }]);
    await database.stop();
  });

  test("a broken constraint keeps its SQLSTATE; a fragment is no statement of its own", async () => {
    const database = openDatabase({ url: await (await sharedPostgres()).createDatabase(), applicationName: "test" });
    await database.sql`CREATE TABLE rows (id int PRIMARY KEY)`;
    await database.sql`INSERT INTO rows VALUES (1)`;
    const broken: unknown = await database.sql`INSERT INTO rows VALUES (1)`.catch((error: unknown) => error);
    expect(broken).toMatchObject({ code: "23505" });
    const where = database.sql`WHERE id = ${1}`;
    expect([...(await database.sql`SELECT id FROM rows ${where}`)]).toEqual([{ id: 1 }]);
    await database.stop();
  });

  test("statements beyond the bound are refused with OVERLOADED, and the pool works on", async () => {
    const metrics = createMetrics();
    const shown = async (): Promise<readonly string[]> =>
      (await metrics.render()).split("\n").filter((line) => line.startsWith("muin_database_"));
    const database = openDatabase({
      metrics,
      url: await (await sharedPostgres()).createDatabase(),
      applicationName: "test",
      poolMax: 1,
    });
    const statements = Promise.all(
      Array.from({ length: 80 }, () =>
        database.sql`SELECT pg_sleep(0.001)`.then(
          () => "done",
          (error: unknown) => (error as MuinError).reason,
        ),
      ),
    );
    await eventually(async () => expect(await shown()).toContain('muin_database_refusals_total{pool="test"} 16'));
    const outcomes = await statements;
    expect(await shown()).toContain('muin_database_pending{pool="test"} 0');
    expect(Map.groupBy(outcomes, (outcome) => outcome).get("OVERLOADED")).toHaveLength(16);
    expect([...(await database.sql`SELECT 1 AS one`)]).toEqual([{ one: 1 }]);
    await database.stop();
  });

  test("a server that is away is STORE_UNAVAILABLE without its words; the pool recovers by itself", async () => {
    await using server = await startPostgres();
    const database = openDatabase({ url: await server.createDatabase(), applicationName: "test", poolMax: 2 });
    await database.sql`SELECT 1`;
    await server.kill("SIGKILL");
    // A process that serves a connection can outlive its killed server for a moment.
    await eventually(async () => expect(await reasonOf(database.sql`SELECT 1`)).toBe("unavailable STORE_UNAVAILABLE"));
    expect(await reasonOf(database.transaction((tx) => tx`SELECT 1`))).toBe("unavailable STORE_UNAVAILABLE");
    expect(await database.probe()).toBeString();
    await server.restart();
    await eventually(async () => expect(await database.probe()).toBeUndefined());
    expect([...(await database.sql`SELECT 1 AS one`)]).toEqual([{ one: 1 }]);
    await database.stop();
    await database.stop();
  });

  test("answers are waited for by time in which this process could run", async () => {
    await countsTimeAwake(openDatabase);
    for (const from of [
      "const { sleep } = awake(clock)",
      "timeout(awake(clock), transactionDeadlineMs",
      "timeout(awake(clock), probeTimeoutMs",
    ]) {
      const mutant = await importMutant<{ openDatabase: typeof openDatabase }>(
        join(import.meta.dir, "open-database.ts"),
        from,
        from.replace("awake(clock)", "clock"),
      );
      await caught(() => countsTimeAwake(mutant.openDatabase));
    }
  });

  // The unpatched driver leaves connections stuck until they time out, or ends the process with an uncaught TypeError.
  test("after a kill under load every connection works again at once, and no transaction goes on elsewhere", async () => {
    await using server = await startPostgres();
    const database = openDatabase({ url: await server.createDatabase(), applicationName: "test", poolMax: 4 });
    await database.sql`CREATE TABLE pairs (id int NOT NULL)`;
    let next = 0;
    for (let kills = 0; kills < 2; kills++) {
      const stopping = new AbortController();
      const before = next;
      const load = Array.from({ length: 8 }, async () => {
        while (!stopping.signal.aborted) {
          const id = ++next;
          await database
            .transaction(async (tx) => {
              await tx`INSERT INTO pairs VALUES (${id})`;
              await tx`INSERT INTO pairs VALUES (${id})`;
            })
            .catch(() => systemClock.sleep(1)); // The server is away; whether it was committed does not matter here.
        }
      });
      await eventually(() => expect(next).toBeGreaterThan(before + 40));
      await server.kill("SIGKILL");
      stopping.abort();
      await Promise.all(load);
      await server.restart();
      await eventually(() => Promise.all(Array.from({ length: 16 }, () => database.sql`SELECT pg_sleep(0.005)`)));
    }
    const odd = await database.sql`SELECT id FROM pairs GROUP BY id HAVING count(*) <> 2`;
    expect([...odd]).toEqual([]);
    await database.stop();
  });

  test("a read-only database refuses to write", async () => {
    const url = await (await sharedPostgres()).createDatabase();
    const database = openReadOnlyDatabase({ url, applicationName: "test" });
    expect(await reasonOf(database.sql`CREATE TABLE rows (id int)`)).toBe("unavailable STORE_UNAVAILABLE");
    await database.stop();
  });
});

describe("migrate", () => {
  test("applies each file once, also when several begin at the same time", async () => {
    const url = await (await sharedPostgres()).createDatabase();
    await migrate({ url, migrations: [first], log });
    await Promise.all(Array.from({ length: 4 }, () => migrate({ url, migrations: [first, second], log })));
    const sql = postgres(url, { max: 1 });
    expect([...(await sql`SELECT word FROM words ORDER BY word`)]).toEqual([{ word: "a" }, { word: "b" }]);
    expect([...(await sql`SELECT count(*)::int AS n FROM platform.outbox`)]).toEqual([{ n: 0 }]);
    await sql.end();
  });

  test("a failing file leaves nothing behind and keeps those before it", async () => {
    const url = await (await sharedPostgres()).createDatabase();
    const broken = { name: "0002_broken", sql: "insert into words values ('c'); select * from missing" };
    expect(await migrate({ url, migrations: [first, broken], log }).catch(() => "failed")).toBe("failed");
    await migrate({ url, migrations: [first, second], log });
    const sql = postgres(url, { max: 1 });
    expect([...(await sql`SELECT word FROM words ORDER BY word`)]).toEqual([{ word: "a" }, { word: "b" }]);
    await sql.end();
  });

  test.each([
    ["an edited file", [{ ...first, sql: `${first.sql} ` }, second], "migration 0001_words was edited"],
    ["an older binary", [first], "which this version does not know: it is older than the database"],
    ["a renamed file", [first, { ...second, name: "0002_other" }], "where this version has 0002_other"],
    ["a gap", [first, second, { name: "0004_gap", sql: "" }], "where one named 0003_words is expected"],
  ])("refuses %s", async (_, migrations, message) => {
    const url = await (await sharedPostgres()).createDatabase();
    await migrate({ url, migrations: [first, second], log });
    const error: unknown = await migrate({ url, migrations, log }).catch((error: unknown) => error);
    expect(String(error)).toContain(message);
  });
});
