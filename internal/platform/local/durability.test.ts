import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { Redis } from "ioredis";
import { startLocalStores, type RunningStores } from "../testing/local-stores.ts";
import { startRedis } from "../testing/redis.ts";
import { createServerFolder, type ServerFolder } from "../testing/server-folder.ts";

let folder: ServerFolder;
let running: RunningStores;

beforeAll(async () => {
  folder = await createServerFolder("durability");
  running = await startLocalStores(join(folder.path, "data"));
});

afterAll(async () => {
  await running.stop();
  await folder.remove();
});

/** Whether the kernel was asked to write the data of an increment to the disk before its reply was sent. */
async function syncsBeforeReply(url: string, pid: number): Promise<boolean> {
  const trace = join(folder.path, `trace-${pid}`);
  const client = new Redis(url);
  await client.set("count:traced", "41");
  // Its main thread alone: another syncs now and then by itself with everysec.
  const calls = ["-e", "trace=read,write,fdatasync", "-s", "200"];
  const tracer = Bun.spawn(["strace", "-p", `${pid}`, ...calls, "-o", trace], { stdio: ["ignore", "ignore", "pipe"] });
  try {
    let said = "";
    for await (const text of tracer.stderr.pipeThrough(new TextDecoderStream())) {
      if ((said += text).includes("attached")) break;
    }
    expect(await client.incr("count:traced")).toBe(42);
  } finally {
    client.disconnect();
    tracer.kill("SIGINT"); // Lets go of the server, which runs on.
    await tracer.exited;
  }
  const lines = (await readFile(trace, "utf8")).split("\n");
  const asked = lines.findIndex((line) => /read\(.*INCR/i.test(line));
  const replied = lines.findIndex((line) => line.includes('":42\\r\\n"'));
  expect(asked).toBeGreaterThanOrEqual(0);
  expect(replied).toBeGreaterThan(asked);
  return lines.slice(asked, replied).some((line) => line.startsWith("fdatasync("));
}

/** Attaching to a process needs the rights of root. In CI root must have what it takes. */
const lacksTrace = process.getuid?.() !== 0 || (Bun.which("strace") === null && process.env["CI"] === undefined);

// kill -9 alone would not show this: the page cache survives it.
describe("a write is on disk before its reply (skipped without strace or the rights of root)", () => {
  test.skipIf(lacksTrace)("in the counts Redis", async () => {
    const { stores } = await running.stores.status();
    const pid = stores.find(({ name }) => name === "redis counts")?.pid ?? 0;
    expect(await syncsBeforeReply(running.stores.redisUrl("counts", "count-write"), pid)).toBe(true);
  });

  test.skipIf(lacksTrace)("which is seen to fail with appendfsync everysec", async () => {
    await using redis = await startRedis({ appendfsync: "everysec" });
    expect(await syncsBeforeReply(redis.url, redis.pid)).toBe(false);
  });
});

/** Whether the server still has, after kill -9, what it acknowledged. */
async function survives(args: readonly string[]): Promise<boolean> {
  await using redis = await startRedis({ args });
  const before = new Redis(redis.url, { retryStrategy: () => null });
  before.on("error", () => undefined); // It is killed on purpose.
  await before.set("k", "v");
  await redis.kill("SIGKILL");
  before.disconnect();
  await redis.restart();
  const after = new Redis(redis.url);
  const value = await after.get("k");
  after.disconnect();
  return value === "v";
}

describe("what was acknowledged outlives kill -9", () => {
  test("with the settings of a server that keeps data", async () => {
    expect(await survives([])).toBe(true);
  });

  test("which is seen to fail without an append-only file", async () => {
    expect(await survives(["--appendonly", "no"])).toBe(false);
  });
});
