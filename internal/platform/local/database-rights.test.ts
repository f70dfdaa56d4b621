import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import postgres, { type Sql } from "postgres";
import { startPostgres, type TestPostgres } from "../testing/postgres.ts";
import { migrate } from "../postgres/migrate.ts";
import { silentLog } from "../testing/local-stores.ts";
import { ensureDatabases, type DatabaseSpec } from "./database-rights.ts";

const specs: readonly DatabaseSpec[] = [
  {
    database: "accounts",
    schemaRole: "accounts_schema",
    dataRole: "accounts_data",
    readers: [{ role: "shop_reader" }],
  },
  { database: "shop", schemaRole: "shop_schema", dataRole: "shop_data", readers: [] },
];
const roles = ["accounts_schema", "accounts_data", "shop_reader", "shop_schema", "shop_data"];
/** Who may enter what, and nobody else anywhere. */
const allowed = {
  accounts: ["accounts_schema", "accounts_data", "shop_reader"],
  shop: ["shop_schema", "shop_data"],
  postgres: [],
  template1: [],
};

let server: TestPostgres;

beforeAll(async () => {
  server = await startPostgres();
  await ensure();
});

afterAll(() => server.stop());

async function withSql<T>(database: string, role: string | undefined, work: (sql: Sql) => Promise<T>): Promise<T> {
  const url = new URL(server.adminUrl);
  url.pathname = database;
  if (role !== undefined) [url.username, url.password] = [role, `secret-of-${role}`];
  const sql = postgres(url.href, { max: 1, onnotice: () => undefined });
  try {
    return await work(sql);
  } finally {
    await sql.end();
  }
}

const asAdmin = {
  asAdmin: <T>(database: string, work: (sql: Sql) => Promise<T>) => withSql(database, undefined, work),
};

function ensure(): Promise<void> {
  return ensureDatabases(asAdmin, specs, async (role) => `secret-of-${role}`);
}

/** A start with a declaration that lets the reader see these views. */
async function nextStart(views: readonly string[]): Promise<void> {
  await ensure();
  const url = new URL(server.adminUrl);
  [url.pathname, url.username, url.password] = ["accounts", "accounts_schema", "secret-of-accounts_schema"];
  await migrate({ url: url.href, migrations: [], log: silentLog, readers: [{ role: "shop_reader", views }] });
}

async function whoEnters(): Promise<Record<string, string[]>> {
  const entered: Record<string, string[]> = {};
  for (const database of Object.keys(allowed)) {
    entered[database] = [];
    for (const role of roles) {
      const enters = await withSql(database, role, (sql) => sql`SELECT 1`).then(
        () => true,
        (error: unknown) => {
          expect(error).toMatchObject({ code: "42501" }); // insufficient_privilege
          return false;
        },
      );
      if (enters) entered[database].push(role);
    }
  }
  return entered;
}

/** Whether the reader sees the views "names" and "secrets" and the table "people". */
function readable(): Promise<boolean[]> {
  return Promise.all(["names", "secrets", "people"].map(canRead));
}

function canRead(view: string): Promise<boolean> {
  return withSql("accounts", "shop_reader", (sql) => sql.unsafe(`SELECT * FROM ${view}`)).then(
    () => true,
    () => false,
  );
}

describe("rights in PostgreSQL", () => {
  test("a role enters its own database alone", async () => {
    expect(await whoEnters()).toEqual(allowed);
  });

  test("which is seen to fail when PUBLIC may connect, and is repaired by the next start", async () => {
    await withSql("postgres", undefined, (sql) => sql`GRANT CONNECT ON DATABASE accounts TO PUBLIC`);
    expect(await whoEnters()).toEqual({ ...allowed, accounts: roles });
    await ensure();
    expect(await whoEnters()).toEqual(allowed);
  });

  test("a reader sees the views that are named now and nothing else", async () => {
    await withSql("accounts", "accounts_schema", async (sql) => {
      await sql`CREATE TABLE people (name text, secret text)`;
      await sql`CREATE VIEW names AS SELECT name FROM people`;
      await sql`CREATE VIEW secrets AS SELECT secret FROM people`;
    });
    expect(await readable()).toEqual([false, false, false]);
    await nextStart(["names"]);
    expect(await readable()).toEqual([true, false, false]);
    await nextStart(["secrets"]);
    expect(await readable()).toEqual([false, true, false]);
  });

  test("names that are none are refused before they reach a statement", async () => {
    const evil = [{ database: 'x"; DROP ROLE shop_data; --', schemaRole: "a", dataRole: "b", readers: [] }];
    expect(await ensureDatabases(asAdmin, evil, async () => "s").catch(String)).toContain("is no name for PostgreSQL");
  });
});
