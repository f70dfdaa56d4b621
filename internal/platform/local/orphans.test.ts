import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { copyFile, mkdir, symlink } from "node:fs/promises";
import { join } from "node:path";
import { Redis } from "ioredis";
import postgres from "postgres";
import { systemClock } from "../clock/clock.ts";
import { eventually } from "../testing/eventually.ts";
import { silentLog, startLocalStores, startStoresProcess } from "../testing/local-stores.ts";
import { createServerFolder, type ServerFolder } from "../testing/server-folder.ts";
import { endOrphans } from "./orphans.ts";
import { expectPromised } from "../testing/promise.ts";

let folder: ServerFolder;
let path = "";

beforeEach(async () => {
  folder = await createServerFolder("orphans");
  path = join(folder.path, "data");
});

afterEach(() => folder.remove());

/** Whether the process runs. One that has ended and that nobody has waited for yet (a zombie) does not. */
function isAlive(pid: number): boolean {
  try {
    return !/\) Z /.test(readFileSync(`/proc/${pid}/stat`, "utf8"));
  } catch {
    return false; // There is none.
  }
}

function spawnIn(folder: string, command: string): Bun.Subprocess {
  return Bun.spawn([command, "60"], { cwd: folder, stdio: ["ignore", "ignore", "ignore"] });
}

/** Writes to both stores until they fail; returns how many writes each had acknowledged. */
async function writeUntilCut(redisUrl: string, sqlUrl: string): Promise<{ redis: number; sql: number }> {
  const client = new Redis(redisUrl, { retryStrategy: () => null, maxRetriesPerRequest: 0 });
  client.on("error", () => undefined);
  const sql = postgres(sqlUrl, { max: 1, onnotice: () => undefined });
  await sql`CREATE TABLE written (v int)`;
  const done = { redis: 0, sql: 0 };
  const toRedis = async (): Promise<void> => {
    for (;;) done.redis = await client.incr("count:written");
  };
  const toSql = async (): Promise<void> => {
    for (;;) {
      await sql`INSERT INTO written VALUES (1)`;
      done.sql += 1;
    }
  };
  await Promise.allSettled([toRedis(), toSql()]);
  client.disconnect();
  await sql.end({ timeout: 0 });
  return done;
}

describe("after kill -9 of Muin", () => {
  test("the next start ends its servers and loses nothing that was acknowledged", async () => {
    const first = await startStoresProcess(path);
    const writing = writeUntilCut(first.report.redisUrl, first.report.schemaUrl);
    const probe = new Redis(first.report.redisUrl);
    await eventually(async () => expect(Number(await probe.get("count:written"))).toBeGreaterThan(50));
    probe.disconnect();
    first.child.kill("SIGKILL");
    await first.child.exited;
    expect(first.report.pids.map(isAlive)).toEqual([true, true, true, true]);

    const second = await startLocalStores(path);
    try {
      expect(first.report.pids.filter(isAlive)).toEqual([]);
      const done = await writing;
      expect(done.sql).toBeGreaterThan(0);
      const client = new Redis(second.stores.redisUrl("counts", "count-write"));
      const kept = Number(await client.get("count:written"));
      client.disconnect();
      const sql = postgres(second.stores.postgresUrl("counts", "counts_schema"), { max: 1 });
      const [row] = await sql<{ n: number }[]>`SELECT count(*)::int AS n FROM written`;
      await sql.end();
      // One more than acknowledged is right: the last write may have been done and its reply cut off.
      expect([0, 1]).toContain(kept - done.redis);
      expect([0, 1]).toContain((row?.n ?? 0) - done.sql);
    } finally {
      await second.stop();
    }
  });

  test("servers that were halted are ended too, and stop ends all there are", async () => {
    const first = await startStoresProcess(path);
    first.child.kill("SIGKILL");
    await first.child.exited;
    for (const pid of first.report.pids) process.kill(pid, "SIGSTOP");
    const second = await startLocalStores(path);
    expect(first.report.pids.filter(isAlive)).toEqual([]);
    const pids = (await second.stores.status()).stores.map(({ pid }) => pid ?? 0);
    const stoppedAt = performance.now();
    await second.stop();
    expectPromised("local stores stop", 10_000, performance.now() - stoppedAt);
    expect(pids.filter(isAlive)).toEqual([]);
  });

  test("an exit without stop takes the servers along", async () => {
    const first = await startStoresProcess(path);
    first.child.kill("SIGUSR2");
    expect(await first.child.exited).toBe(3);
    await eventually(() => expect(first.report.pids.filter(isAlive)).toEqual([]), { timeoutMs: 30_000 });
  });

  test("a data folder that is in use is left alone", async () => {
    const first = await startStoresProcess(path);
    try {
      const error = await startLocalStores(path).then(
        () => undefined,
        (error: unknown) => error,
      );
      expect(String(error)).toContain(`(process ${first.child.pid})`);
      expect(first.report.pids.map(isAlive)).toEqual([true, true, true, true]);
    } finally {
      first.child.kill("SIGTERM");
      expect(await first.child.exited).toBe(0);
    }
    expect(first.report.pids.filter(isAlive)).toEqual([]);
  });
});

describe("what counts as an orphaned process", () => {
  test("the program's name and the working directory together, whatever links lead there", async () => {
    const [inner, elsewhere] = [join(folder.path, "inner"), join(folder.path, "elsewhere")];
    for (const place of [inner, elsewhere]) await mkdir(place);
    const program = join(elsewhere, "our-server");
    await copyFile("/bin/sleep", program);
    const ours = spawnIn(inner, program);
    const otherPlace = spawnIn(elsewhere, program);
    const otherProgram = spawnIn(inner, "/bin/sleep");
    try {
      const link = join(elsewhere, "link");
      await symlink(inner, link);
      const options = {
        folder: link,
        programs: ["our-server"],
        signal: "SIGTERM",
        clock: systemClock,
        log: silentLog,
      } as const;
      expect(await endOrphans(options)).toBe(1);
      expect(await endOrphans(options)).toBe(0);
      expect([ours, otherPlace, otherProgram].map(({ pid }) => isAlive(pid))).toEqual([false, true, true]);
    } finally {
      for (const child of [ours, otherPlace, otherProgram]) child.kill("SIGKILL");
      await Promise.all([ours, otherPlace, otherProgram].map((child) => child.exited));
    }
  });
});
