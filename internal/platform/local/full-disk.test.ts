import { describe, expect, test } from "bun:test";
import { mkdtemp, open, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Redis } from "ioredis";
import { eventually } from "../testing/eventually.ts";
import { startStoresProcess } from "../testing/local-stores.ts";

/** Mounts a small disk that only the process sees, and ends with it. */
const diskMb = 160;
const onSmallDisk = (folder: string): readonly string[] => [
  "unshare",
  "--mount",
  "sh",
  "-c",
  `mount -t tmpfs -o size=${diskMb}m,mode=755 muin "$0" && exec "$@"`,
  folder,
];

const mayMount = process.getuid?.() === 0 && Bun.spawnSync(["unshare", "--mount", "true"]).success;

/** Writes zeros until there is no more room. */
async function fill(path: string): Promise<void> {
  const file = await open(path, "w");
  try {
    const block = new Uint8Array(64 * 1024);
    for (;;) await file.write(block);
  } catch (error) {
    expect(String(error)).toContain("ENOSPC");
  } finally {
    await file.close();
  }
}

/** Increments until it fails; returns the last acknowledged value. */
async function countUntilCut(url: string): Promise<number> {
  const client = new Redis(url, { retryStrategy: () => null, maxRetriesPerRequest: 0 });
  client.on("error", () => undefined); // The rejected call carries it.
  let acknowledged = 0;
  try {
    for (;;) acknowledged = await client.incr("count:written");
  } catch {
    return acknowledged; // The server is gone, which is what the caller waits for.
  } finally {
    client.disconnect();
  }
}

describe("a full disk", () => {
  // Mounting needs the rights of root.
  test.skipIf(!mayMount)("is named, loses nothing, and once there is room everything goes on", async () => {
    const folder = await mkdtemp(join(tmpdir(), "muin-disk-"));
    Bun.spawnSync(["chmod", "o+x", folder]);
    const running = await startStoresProcess(join(folder, "data"), onSmallDisk(folder));
    const { child, report } = running;
    try {
      expect((await running.status()).disk).toMatchObject({ full: false });
      const filler = join(`/proc/${child.pid}/root`, folder, "filler");
      await fill(filler);
      const acknowledged = await countUntilCut(report.redisUrl);
      await eventually(async () => {
        const { stores, disk } = await running.status();
        expect(disk).toMatchObject({ path: join(folder, "data"), full: true });
        expect(stores.find(({ name }) => name === "redis counts")?.state).toBe("restarting");
      });
      await rm(filler);
      await eventually(
        async () => {
          const { stores, disk } = await running.status();
          expect(disk.full).toBe(false);
          expect(stores.map(({ state }) => state)).toEqual(["running", "running", "running", "running"]);
        },
        { timeoutMs: 20_000 },
      );
      const client = new Redis(report.redisUrl);
      // The last write may have been done and its reply cut off.
      expect([0, 1]).toContain(Number(await client.get("count:written")) - acknowledged);
      await client.incr("count:written");
      client.disconnect();
    } finally {
      child.kill("SIGTERM");
      await child.exited;
      await rm(folder, { recursive: true, force: true });
    }
  });
});
