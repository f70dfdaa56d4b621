import { describe, expect, test } from "bun:test";
import { silentLog } from "../../../platform/events/redis/redis-broker-fixture.ts";
import type { Database } from "../../../platform/postgres/database.ts";
import { migrate } from "../../../platform/postgres/migrate.ts";
import { type OpenDatabase, openDatabase } from "../../../platform/postgres/open-database.ts";
import { caught } from "../../../platform/testing/mutant.ts";
import { sharedPostgres } from "../../../platform/testing/postgres.ts";
import { migrations } from "../migrations.ts";
import { postgresAuditStore } from "./store-postgres.ts";

/** A database as the migrations before the one of the months left it, or with all of them. */
async function open(before?: string): Promise<OpenDatabase & { readonly url: string }> {
  const url = await (await sharedPostgres()).createDatabase();
  const count = before === undefined ? migrations.length : migrations.findIndex(({ name }) => name === before);
  await migrate({ url, migrations: migrations.slice(0, count), log: silentLog });
  return { ...openDatabase({ url, applicationName: "months test" }), url };
}

/** Adds an act of a number of days ago; its detail says so. */
async function add({ sql }: Database, ...days: readonly number[]): Promise<void> {
  await sql`
    INSERT INTO audit_log (create_time, action, outcome, principal, subject, address, user_agent, detail)
    SELECT now() - days * INTERVAL '1 day', 'SIGN_IN', 'DONE', 'p', 's', '', '', days::text FROM unnest(${days.map(String)}::text[]::int[]) AS days`;
}

async function details({ sql }: Database): Promise<readonly number[]> {
  const rows = await sql<{ detail: string }[]>`SELECT detail FROM audit_log ORDER BY audit_id`;
  return rows.map(({ detail }) => Number(detail));
}

/** Rows of each part of the log: months as how many months from now, and what has none of its own. */
async function parts({ sql }: Database): Promise<Readonly<Record<string, number>>> {
  const rows = await sql<{ part: string; count: string }[]>`
    SELECT CASE relname WHEN 'audit_log_rest' THEN 'rest' ELSE
      ((left(right(relname, 7), 4)::int - extract(YEAR FROM now() AT TIME ZONE 'UTC')) * 12
      + right(relname, 2)::int - extract(MONTH FROM now() AT TIME ZONE 'UTC'))::text END AS part,
      (xpath('/row/c/text()', query_to_xml(format('SELECT count(*) AS c FROM %I', relname), FALSE, TRUE, '')))[1]::text AS count
    FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid WHERE inhparent = 'audit_log'::regclass`;
  return Object.fromEntries(rows.map(({ part, count }) => [part, Number(count)]));
}

const prune = (database: Database, days = 400): Promise<void> =>
  database.transaction((tx) => postgresAuditStore.prune(tx, days, 20_000));

/** A month that ended at the end of its retention goes as a whole; the one after it stays, though most of it is past. */
async function checkDropped(days: number, kept: number): Promise<void> {
  const database = await open();
  await database.sql`SELECT audit_log_make_month(now() - ${days} * INTERVAL '1 day' - n * INTERVAL '30 days') FROM generate_series(0, 3) AS n`;
  await add(database, days + 70, days + 1, days - 1);
  await prune(database, kept);
  // The row of one day too many stands in a month that is not past, or was the last of one that is.
  const left = await details(database);
  expect(left).toContain(days - 1);
  expect(left).not.toContain(days + 70);
  await database.stop();
}

describe("the audit log by months", () => {
  test("takes over what was there before, with its numbers, and goes on after them", async () => {
    const database = await open("0016_audit_partitions");
    await add(database, 500, 100, 3, 0);
    const numbers = async () =>
      (await database.sql`SELECT audit_id FROM audit_log ORDER BY 1`).map((row) => row["audit_id"]);
    const before = await numbers();
    await migrate({ url: database.url, migrations, log: silentLog });
    expect(await numbers()).toEqual(before);
    expect(await details(database)).toEqual([500, 100, 3, 0]);
    expect(await parts(database)).toMatchObject({ rest: 0, 1: 0 });
    await add(database, 1);
    expect(await details(database)).toEqual([500, 100, 3, 0, 1]);
    await database.stop();
  });

  test("makes months ahead, and moves into one what came before it was made", async () => {
    const database = await open();
    await database.sql`DO $$ BEGIN EXECUTE (SELECT string_agg(format('DROP TABLE %I', relname), ';') FROM pg_class
      WHERE relname ~ '^audit_log_[0-9]{4}_[0-9]{2}$'); END $$`;
    await add(database, 0, -29);
    expect(await parts(database)).toEqual({ rest: 2 });
    await prune(database);
    const { rest, ...months } = await parts(database);
    expect(rest).toBe(0);
    expect(Object.keys(months).length).toBeGreaterThanOrEqual(2);
    expect(Object.values(months).reduce((sum, rows) => sum + rows, 0)).toBe(2);
    expect(await details(database)).toEqual([0, -29]);
    await database.stop();
  });

  test("lets a month go as a whole once it is past what is kept", async () => {
    await checkDropped(400, 400);
    await caught(() => checkDropped(400, 700));
    await caught(() => checkDropped(400, 300));
  });

  test("keeps 90 days whatever it is told, and cannot be rewritten or emptied part by part", async () => {
    const database = await open();
    await database.sql`SELECT audit_log_make_month(now() - n * INTERVAL '30 days') FROM generate_series(0, 3) AS n`;
    await add(database, 60, 0);
    await database.sql`SELECT audit_log_drop_months(0)`;
    expect(await details(database)).toEqual([60, 0]);
    const [part] = await database.sql<{ name: string }[]>`
      SELECT tableoid::regclass::text AS name FROM audit_log WHERE detail = '60'`;
    const table = database.sql(part?.name ?? "");
    const refusals = await Promise.allSettled([
      database.sql`TRUNCATE ${table}`,
      database.sql`DELETE FROM ${table}`,
      database.sql`UPDATE ${table} SET detail = ''`,
    ]);
    expect(refusals.map((refusal) => refusal.status === "rejected" && String(refusal.reason))).toEqual(
      Array<string>(3).fill("PostgresError: audit_log is append-only"),
    );
    await database.stop();
  });

  test("is kept by a role that may change rows only, and by no other", async () => {
    const postgres = await sharedPostgres();
    const url = await postgres.createDatabase();
    const adminUrl = new URL(postgres.adminUrl);
    adminUrl.pathname = new URL(url).pathname;
    const admin = openDatabase({ url: adminUrl.href, applicationName: "months test" });
    for (const role of ["months_data", "months_other"]) {
      await admin.sql`DO $$ BEGIN CREATE ROLE ${admin.sql(role)}; EXCEPTION WHEN duplicate_object THEN NULL; END $$`;
    }
    await migrate({ url, migrations, log: silentLog, dataRole: "months_data" });
    const as = <T>(role: string, work: (database: Database) => Promise<T>): Promise<T> =>
      admin.transaction(async (tx) => {
        await tx`SET LOCAL ROLE ${tx(role)}`;
        return work({ ...admin, sql: tx, transaction: (inner) => inner(tx) });
      });
    await as("months_data", async (database) => {
      await add(database, 0);
      await prune(database);
    });
    expect(await details(admin)).toEqual([0]);
    expect(as("months_other", ({ sql }) => sql`SELECT audit_log_drop_months(90)`)).rejects.toMatchObject({
      code: "42501",
    });
    await admin.stop();
  });
});
