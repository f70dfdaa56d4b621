import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { Redis } from "ioredis";
import { eventually } from "../testing/eventually.ts";
import { startStoresProcess } from "../testing/local-stores.ts";
import { createServerFolder } from "../testing/server-folder.ts";
import { createSmallDisk, lacksSmallDisk } from "../testing/small-disk.ts";

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
  test.skipIf(lacksSmallDisk)(
    "is named, loses nothing, and once there is room everything goes on (skipped where a disk cannot be mounted)",
    async () => {
      const folder = await createServerFolder("disk");
      const { path } = folder;
      const small = createSmallDisk(path, { megabytes: 160 });
      const running = await startStoresProcess(join(path, "data"), small.wrapper);
      const { child, report } = running;
      try {
        expect((await running.status()).disk).toMatchObject({ full: false });
        const full = await small.fill(child.pid);
        const acknowledged = await countUntilCut(report.redisUrl);
        await eventually(async () => {
          const { stores, disk } = await running.status();
          expect(disk).toMatchObject({ path: join(path, "data"), full: true });
          const counts = stores.find(({ name }) => name === "redis counts");
          // Started again it may run for a while: until something is written.
          expect(counts?.restarts).toBeGreaterThan(0);
          expect(counts?.lastError).toContain("No space left on device");
        });
        await full[Symbol.asyncDispose]();
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
        await folder.remove();
      }
    },
  );
});
