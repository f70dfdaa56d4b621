import { describe, expect, test } from "bun:test";
import { Redis } from "ioredis";
import postgres from "postgres";
import { eventually } from "./eventually.ts";
import { sharedPostgres, startPostgres } from "./postgres.ts";
import { sharedRedis, startRedis } from "./redis.ts";

describe("the servers of the tests", () => {
  test("Redis keeps what it acknowledged over kill -9, on the same port", async () => {
    await using redis = await startRedis();
    const first = new Redis(redis.url, { retryStrategy: () => null });
    first.on("error", () => undefined);
    await first.set("k", "v");
    expect(await first.config("GET", "appendfsync")).toEqual(["appendfsync", "always"]);
    first.disconnect();
    const pid = redis.pid;
    await redis.kill("SIGKILL");
    await redis.restart();
    expect(redis.pid).not.toBe(pid);
    const second = new Redis(redis.url);
    expect(await second.get("k")).toBe("v");
    second.disconnect();
  });

  test("Redis takes other settings", async () => {
    await using redis = await startRedis({ appendfsync: "everysec", args: ["--maxmemory", "10mb"] });
    const client = new Redis(redis.url);
    expect(await client.config("GET", "appendfsync")).toEqual(["appendfsync", "everysec"]);
    expect(await client.config("GET", "maxmemory")).toEqual(["maxmemory", "10485760"]);
    client.disconnect();
  });

  test("PostgreSQL keeps what it committed over kill -9, on the same port", async () => {
    await using server = await startPostgres();
    const url = await server.createDatabase();
    const first = postgres(url, { max: 1 });
    await first`CREATE TABLE t (v text)`;
    await first`INSERT INTO t VALUES ('x')`;
    await first.end();
    const held = postgres(url, { max: 1, idle_timeout: 0 });
    await held`SELECT 1`;
    await server.kill("SIGKILL");
    // Nor does a process of the server's own answer, which outlives it for a moment.
    expect(await held`SELECT 1`.catch(() => "refused")).toBe("refused");
    await held.end();
    await server.restart();
    const second = postgres(url, { max: 1 });
    expect([...(await second`SELECT v FROM t`)]).toEqual([{ v: "x" }]);
    expect([...(await second`SELECT rolsuper FROM pg_roles WHERE rolname = current_user`)]).toEqual([
      { rolsuper: false },
    ]);
    await second.end();
  });

  test("the shared servers are one per process", async () => {
    expect((await sharedRedis()).pid).toBe((await sharedRedis()).pid);
    const server = await sharedPostgres();
    expect(await server.createDatabase()).not.toBe(await server.createDatabase());
  });

  test("eventually rejects with the last error", async () => {
    const never = eventually(
      () => {
        throw new Error("not yet");
      },
      { timeoutMs: 1 },
    );
    expect(await never.catch((error: unknown) => String(error))).toBe("Error: not yet");
  });
});
