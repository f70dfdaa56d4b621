import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { Redis } from "ioredis";
import postgres from "postgres";
import { catalog } from "../../internal/catalog.ts";
import { eventsRights, postgresRights, redisRights } from "../../internal/platform/app/store-rights.ts";
import { createMuinFolder, startMuin, type MuinFolder, type TestMuin } from "../../internal/platform/testing/muin.ts";

setDefaultTimeout(60_000);

/** What an account may do on a store. Redis: with a key of the pattern. PostgreSQL: with a table, a view, the schema. */
type Right = "none" | "connects" | "reads" | "writes";

/**
 * Who may do what where: written out, so that a declaration that widens a right is seen here. What is not listed is "none".
 */
const declared: Readonly<Record<string, Readonly<Record<string, Right>>>> = {
  "redis counts": {
    "count-management count:*": "writes",
    "count-write count:*": "writes",
    "count-read count:store": "reads",
    "count-read count:{*}:states": "reads",
    "count-read count:{*}:heartbeat": "reads",
  },
  "redis cache": { "count-read count-read:info:1:*": "writes" },
  "redis events": { "muin events:*": "writes" },
  "postgres auth": { auth_schema: "writes", auth_data: "writes" },
  "postgres count_info": {
    count_management_schema: "writes",
    count_management_data: "writes",
    count_read_reader: "reads",
  },
};

let folder: MuinFolder;
let muin: TestMuin;
let secrets: Readonly<Record<string, string>>;
let ports: Readonly<Record<string, number>>;
beforeAll(async () => {
  folder = await createMuinFolder();
  muin = await startMuin({ folder });
  secrets = (await Bun.file(`${folder.dataDir}/secrets.json`).json()) as Record<string, string>;
  ports = (await Bun.file(`${folder.dataDir}/ports.json`).json()) as Record<string, number>;
});
afterAll(async () => {
  await muin[Symbol.asyncDispose]();
  await folder[Symbol.asyncDispose]();
});

const redisServers = ["counts", "cache", "events"] as const;
const redisAccounts = [...catalog.flatMap(redisRights), eventsRights("muin")];
const accounts = [...new Set(redisAccounts.map(({ user }) => user))];

describe("Redis", () => {
  const patterns = Object.entries(declared).flatMap(([store, rights]) =>
    store.startsWith("redis ")
      ? Object.keys(rights).map((name) => ({ owner: name.split(" ")[0], pattern: name.split(" ")[1] ?? "" }))
      : [],
  );
  const cells = redisServers.flatMap((server) => accounts.map((account) => ({ server, account })));

  test.each(cells)("on $server, $account may do what is declared", async ({ server, account }) => {
    const password = secrets[`redis/${server}/${account}`];
    const rights = Object.entries(declared[`redis ${server}`] ?? {}).filter(([name]) => name.startsWith(`${account} `));
    // An account that is not declared for a server does not exist there, and no password of another server opens it.
    expect(password !== undefined).toBe(rights.length > 0);
    if (password === undefined) {
      for (const other of Object.values(secrets)) {
        expect(await login(server, account, other)).toBe(false);
      }
      return;
    }
    const connection = connect(server, account, password);
    try {
      for (const { pattern } of patterns) {
        const key = pattern.replaceAll("*", "isolation-test");
        const right = rights.find(([name]) => name === `${account} ${pattern}`)?.[1] ?? widerRight(rights, key);
        const seen = await rightOn(connection, key);
        expect({ account, server, key, right: seen }).toEqual({ account, server, key, right });
      }
      const strange = await rightOn(connection, "nobody:declared:this");
      expect(strange).toBe("none");
    } finally {
      connection.disconnect();
    }
  });

  test.each(redisServers)(
    "nobody enters %s without a password, and no account with another server's",
    async (server) => {
      expect(await login(server, "default", "")).toBe(false);
      for (const account of accounts) {
        for (const [name, secret] of Object.entries(secrets)) {
          if (name !== `redis/${server}/${account}`) expect(await login(server, account, secret)).toBe(false);
        }
      }
    },
  );
});

describe("PostgreSQL", () => {
  const databases = postgresRights(catalog);
  const roles = databases.flatMap(({ schemaRole, dataRole, readers }) => [
    schemaRole,
    dataRole,
    ...readers.map(({ role }) => role),
  ]);
  const cells = [...databases.map(({ database }) => database), "postgres", "template1"].flatMap((database) =>
    [...new Set(roles)].map((role) => ({ database, role })),
  );

  test("the roles are those that are written out here", () => {
    const written = Object.entries(declared).flatMap(([store, rights]) =>
      store.startsWith("postgres ") ? Object.keys(rights) : [],
    );
    expect([...new Set(roles)].toSorted()).toEqual(written.toSorted());
  });

  test.each(cells)("in $database, $role may do what is declared", async ({ database, role }) => {
    const right = declared[`postgres ${database}`]?.[role] ?? "none";
    const sql = postgres({
      host: "127.0.0.1",
      port: ports["postgres"] ?? 0,
      database,
      username: role,
      password: secrets[`postgres/${role}`] ?? "",
      max: 1,
      onnotice: () => undefined,
    });
    try {
      const relations = await sql<{ name: string; kind: string; reads: boolean; writes: boolean }[]>`
        SELECT n.nspname || '.' || c.relname AS name, c.relkind AS kind,
          has_table_privilege(c.oid, 'SELECT') AND has_schema_privilege(n.oid, 'USAGE') AS reads,
          has_table_privilege(c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE') AS writes
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relkind IN ('r', 'v', 'm', 'p') AND n.nspname NOT IN ('pg_catalog', 'information_schema')
          AND n.nspname NOT LIKE 'pg_toast%'`;
      const readable = relations.filter(({ reads }) => reads).map(({ name }) => name);
      const writable = relations.filter(({ writes }) => writes);
      if (right === "reads") {
        const views = databases.flatMap(({ readers }) => readers.find((one) => one.role === role)?.views ?? []);
        expect(readable.map((name) => name.split(".")[1] ?? "")).toEqual([...views]);
        expect(writable).toEqual([]);
      } else {
        expect(right).toBe("writes");
        expect(writable.length).toBeGreaterThan(0);
        expect(readable).toEqual(relations.map(({ name }) => name));
      }
      const mayCreate = await sql`CREATE TABLE public.isolation_test (x int)`.then(
        () => true,
        () => false,
      );
      expect({ role, mayCreate }).toEqual({ role, mayCreate: role.endsWith("_schema") && right === "writes" });
      if (mayCreate) await sql`DROP TABLE public.isolation_test`;
    } catch (error) {
      if (!(error instanceof postgres.PostgresError) || error.code !== "42501" || right !== "none") throw error;
      expect(error.message).toContain("permission denied for database");
    } finally {
      await sql.end({ timeout: 1 });
    }
  });
});

/** The right that a pattern of the account's gives it on a key; "none" without one. */
function widerRight(rights: readonly (readonly [string, Right])[], key: string): Right {
  for (const [name, right] of rights) {
    const pattern = name.slice(name.indexOf(" ") + 1);
    if (pattern.endsWith("*") && key.startsWith(pattern.slice(0, -1))) return right;
  }
  return "none";
}

function connect(server: string, username: string, password: string): Redis {
  const connection = new Redis({
    host: "127.0.0.1",
    port: ports[`redis/${server}`] ?? 0,
    ...(username === "default" ? {} : { username }),
    ...(password === "" ? {} : { password }),
    lazyConnect: true,
    retryStrategy: () => null,
    maxRetriesPerRequest: 0,
    enableReadyCheck: false,
  });
  connection.on("error", () => undefined); // The rejected call carries the error.
  return connection;
}

/** Whether a server lets an account in. */
async function login(server: string, account: string, password: string): Promise<boolean> {
  const connection = connect(server, account, password);
  try {
    await connection.connect();
    await connection.ping();
    return true;
  } catch {
    return false;
  } finally {
    connection.disconnect();
  }
}

/** What a connection may do with a key that holds nothing; the writing command changes nothing. */
async function rightOn(connection: Redis, key: string): Promise<Right> {
  const reads = await may(connection.call("EXISTS", key));
  const writes = await may(connection.call("PERSIST", key));
  return writes ? "writes" : reads ? "reads" : "none";
}

/** Whether the account's rights allow a command. */
async function may(command: Promise<unknown>): Promise<boolean> {
  try {
    await command;
    return true;
  } catch (error) {
    if (String(error).includes("NOPERM")) return false;
    throw error;
  }
}
