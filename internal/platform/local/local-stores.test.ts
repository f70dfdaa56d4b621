import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { Redis } from "ioredis";
import postgres from "postgres";
import { systemRandom } from "../clock/random.ts";
import { eventually } from "../testing/eventually.ts";
import { migrate } from "../postgres/migrate.ts";
import { silentLog, startLocalStores, type RunningStores } from "../testing/local-stores.ts";
import { createServerFolder, type ServerFolder } from "../testing/server-folder.ts";
import { createDataFolder } from "./data-folder.ts";

async function withRedis<T>(url: string, work: (client: Redis) => Promise<T>): Promise<T> {
  const client = new Redis(url, { retryStrategy: () => null, maxRetriesPerRequest: 0 });
  client.on("error", () => undefined); // The rejected call carries it.
  try {
    return await work(client);
  } finally {
    client.disconnect();
  }
}

async function withSql<T>(url: string, work: (sql: postgres.Sql) => Promise<T>): Promise<T> {
  const sql = postgres(url, { max: 1, onnotice: () => undefined });
  try {
    return await work(sql);
  } finally {
    await sql.end();
  }
}

/** The code of PostgreSQL's refusal: 42501 is insufficient_privilege, 28P01 a wrong password. */
async function refusal(work: Promise<unknown>): Promise<string> {
  try {
    await work;
    return "accepted";
  } catch (error) {
    return error instanceof Error && "code" in error ? String(error.code) : String(error);
  }
}

describe("the local stores", () => {
  let folder: ServerFolder;
  let path = "";
  let running: RunningStores;

  beforeAll(async () => {
    folder = await createServerFolder('local "'); // A name that needs quoting.
    path = join(folder.path, "data");
    running = await startLocalStores(path);
  });

  afterAll(async () => {
    await running.stop();
    await folder.remove();
  });

  test("all run", async () => {
    const { stores, disk } = await running.stores.status();
    expect(stores.map(({ name, state, restarts }) => ({ name, state, restarts }))).toEqual(
      ["postgres", "redis counts", "redis replica", "redis cache"].map((name) => ({
        name,
        state: "running",
        restarts: 0,
      })),
    );
    expect(disk.full).toBe(false);
  });

  test("what is secret can be read by its owner alone and stands in no argument", async () => {
    for (const file of ["secrets.json", "redis/replica/redis.conf", "redis/counts/users.acl"]) {
      expect((await stat(join(path, file))).mode & 0o777).toBe(0o600);
    }
    const secrets = Object.values(JSON.parse(await readFile(join(path, "secrets.json"), "utf8")) as object) as string[];
    expect(secrets.length).toBeGreaterThan(8);
    for (const { pid } of (await running.stores.status()).stores) {
      const command = await readFile(`/proc/${pid}/cmdline`, "utf8");
      expect(secrets.filter((secret) => command.includes(secret))).toEqual([]);
    }
  });

  test("a Redis user does what its rules say, and nobody else does anything", async () => {
    const url = running.stores.redisUrl("counts", "count-write");
    await withRedis(url, async (client) => {
      expect(await client.set("count:a", "1")).toBe("OK");
      expect(await refusal(client.set("other:a", "1"))).toContain("NOPERM");
      expect(await refusal(client.config("GET", "*"))).toContain("NOPERM");
    });
    // The same question to a user who may do all: the refusals above come from the rules.
    await withRedis(running.stores.redisUrl("cache", "count-read"), async (client) => {
      expect(await refusal(client.set("other:a", "1"))).toBe("accepted");
    });
    const bare = url.replace(/\/\/.*@/, "//");
    expect(await withRedis(bare, (client) => refusal(client.get("count:a")))).toContain("NOAUTH");
    const wrong = url.replace(/:[^:@]*@/, ":wrong@");
    expect(await withRedis(wrong, (client) => refusal(client.get("count:a")))).not.toBe("accepted");
  });

  test("a replica shows what its primary has and takes no writes", async () => {
    await withRedis(running.stores.redisUrl("counts", "count-write"), (client) => client.set("count:shown", "7"));
    await withRedis(running.stores.redisUrl("replica", "count-read"), async (client) => {
      await eventually(async () => expect(await client.get("count:shown")).toBe("7"));
      expect(await refusal(client.set("count:shown", "8"))).toContain("READONLY");
    });
  });

  test("a server that keeps data syncs every write; the cache keeps nothing and evicts", async () => {
    expect(await readFile(join(path, "redis/counts/redis.conf"), "utf8")).toContain(
      "\nappendonly yes\nappendfsync always\n",
    );
    await withRedis(running.stores.redisUrl("cache", "count-read"), async (client) => {
      expect(await client.config("GET", "appendonly")).toEqual(["appendonly", "no"]);
      expect(await client.config("GET", "maxmemory-policy")).toEqual(["maxmemory-policy", "allkeys-lru"]);
      expect(await client.config("GET", "lazyfree-lazy-expire")).toEqual(["lazyfree-lazy-expire", "yes"]);
    });
  });

  test("each role reaches its own database alone, with its own rights", async () => {
    const { stores } = running;
    const tables = "CREATE TABLE hidden (v int PRIMARY KEY, w bigserial);";
    const views = "CREATE VIEW shown AS SELECT v FROM hidden; CREATE VIEW internal AS SELECT w FROM hidden;";
    await migrate({
      url: stores.postgresUrl("counts", "counts_schema"),
      migrations: [{ name: "0001_tables", sql: tables + views }],
      log: silentLog,
      dataRole: "counts_data",
      readers: [{ role: "look_reader", views: ["shown"] }],
    });
    await withSql(stores.postgresUrl("counts", "counts_data"), async (sql) => {
      await sql`INSERT INTO hidden (v) VALUES (1), (2)`;
      await sql`UPDATE hidden SET v = 3 WHERE v = 2`;
      await sql`DELETE FROM hidden WHERE v = 3`;
      expect([...(await sql`SHOW synchronous_commit`)]).toEqual([{ synchronous_commit: "on" }]);
      expect({
        table: await refusal(sql`CREATE TABLE t (v int)`),
        schema: await refusal(sql`CREATE SCHEMA s`),
        temporary: await refusal(sql`CREATE TEMPORARY TABLE t (v int)`),
        truncate: await refusal(sql`TRUNCATE hidden`),
        drop: await refusal(sql`DROP VIEW shown`),
        becomeOwner: await refusal(sql`SET ROLE counts_schema`),
      }).toEqual({
        table: "42501",
        schema: "42501",
        temporary: "42501",
        truncate: "42501",
        drop: "42501",
        becomeOwner: "42501",
      });
    });
    await withSql(stores.postgresUrl("counts", "look_reader"), async (sql) => {
      expect([...(await sql`SELECT v FROM shown`)]).toEqual([{ v: 1 }]);
      expect(await refusal(sql`SELECT v FROM hidden`)).toBe("42501");
      expect(await refusal(sql`SELECT w FROM internal`)).toBe("42501");
      expect(await refusal(sql`DELETE FROM shown`)).toBe("42501");
    });
    const roles = ["counts_schema", "counts_data", "look_reader", "other_schema", "other_data"];
    const mayEnter = { counts: ["counts_schema", "counts_data", "look_reader"], other: ["other_schema", "other_data"] };
    const entered: Record<string, string[]> = { counts: [], other: [], postgres: [], template1: [] };
    for (const [database, inside] of Object.entries(entered)) {
      for (const role of roles) {
        const answer = await refusal(withSql(stores.postgresUrl(database, role), (sql) => sql`SELECT 1`));
        if (answer === "accepted") inside.push(role);
        else expect(answer).toBe("42501");
      }
    }
    expect(entered).toEqual({ ...mayEnter, postgres: [], template1: [] });
  });

  test("a second start on the same folder is refused, naming the process", async () => {
    const second = createDataFolder({ path, random: systemRandom });
    expect(await refusal(second.start())).toBe(
      `SetupError: Muin is already running on the data folder ${path} (process ${process.pid}). ` +
        "Stop it first, or choose another folder with --data-dir.",
    );
  });

  test("a store that dies is started again at the same address with all it had acknowledged", async () => {
    const { stores } = running;
    const redisUrl = stores.redisUrl("counts", "count-write");
    const sqlUrl = stores.postgresUrl("counts", "counts_schema");
    await withRedis(redisUrl, (client) => client.set("count:kept", "1"));
    await withSql(sqlUrl, (sql) => sql`CREATE TABLE kept AS SELECT 1 AS v`);
    const before = (await stores.status()).stores;
    for (const { pid } of before) process.kill(pid ?? 0, "SIGKILL");
    await eventually(async () => {
      const after = (await stores.status()).stores;
      expect(after.map(({ state, restarts }) => ({ state, restarts }))).toEqual(
        before.map(() => ({ state: "running", restarts: 1 })),
      );
    });
    const after = (await stores.status()).stores;
    expect(after.map(({ port }) => port)).toEqual(before.map(({ port }) => port));
    expect(after.filter(({ pid }, index) => pid === before[index]?.pid)).toEqual([]);
    for (const { lastError } of after) expect(lastError).toContain("SIGKILL");
    expect(await withRedis(redisUrl, (client) => client.get("count:kept"))).toBe("1");
    expect(await withSql(sqlUrl, (sql) => sql`SELECT v FROM kept`)).toHaveLength(1);
  });
});
