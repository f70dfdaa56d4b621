import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import postgres, { type Sql } from "postgres";
import { startPostgres, type TestPostgres } from "../testing/postgres.ts";
import { ensureDatabases, grantViews, type DatabaseSpec } from "./database-rights.ts";

const specs: readonly DatabaseSpec[] = [
  {
    database: "accounts",
    schemaRole: "accounts_schema",
    dataRole: "accounts_data",
    readers: [{ role: "shop_reader", views: ["names"] }],
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

  test("tables made before the data role had rights are its to use after the next start", async () => {
    await withSql(
      "shop",
      undefined,
      (sql) => sql`ALTER DEFAULT PRIVILEGES FOR ROLE shop_schema REVOKE ALL ON TABLES FROM shop_data`,
    );
    await withSql("shop", "shop_schema", (sql) => sql`CREATE TABLE goods (v int)`);
    const insert = (): Promise<string> =>
      withSql("shop", "shop_data", (sql) => sql`INSERT INTO goods VALUES (1)`).then(
        () => "done",
        (error: unknown) => String((error as { code?: string }).code),
      );
    expect(await insert()).toBe("42501");
    await ensure();
    expect(await insert()).toBe("done");
  });

  test("a reader sees the views that are named now and nothing else", async () => {
    await withSql("accounts", "accounts_schema", async (sql) => {
      await sql`CREATE TABLE people (name text, secret text)`;
      await sql`CREATE VIEW names AS SELECT name FROM people`;
      await sql`CREATE VIEW secrets AS SELECT secret FROM people`;
    });
    expect(await readable()).toEqual([false, false, false]);
    await grantViews(asAdmin, specs);
    expect(await readable()).toEqual([true, false, false]);
    const moved = specs.map((spec) => ({
      ...spec,
      readers: spec.readers.map((reader) => ({ ...reader, views: ["public.secrets"] })),
    }));
    await grantViews(asAdmin, moved);
    expect(await readable()).toEqual([false, true, false]);
    await grantViews(asAdmin, specs);
    expect(await readable()).toEqual([true, false, false]);
  });

  test("names that are none are refused before they reach a statement", async () => {
    const evil = [{ database: 'x"; DROP ROLE shop_data; --', schemaRole: "a", dataRole: "b", readers: [] }];
    expect(await ensureDatabases(asAdmin, evil, async () => "s").catch(String)).toContain("is no name for PostgreSQL");
  });
});
