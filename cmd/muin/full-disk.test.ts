import { expect, setDefaultTimeout, test } from "bun:test";
import { open, rm } from "node:fs/promises";
import { join } from "node:path";
import { OperationsService } from "../../internal/gen/muin/platform/v1/operations_service_pb.ts";
import { eventually } from "../../internal/platform/testing/eventually.ts";
import { createMuinFolder, startMuin } from "../../internal/platform/testing/muin.ts";
import { startLoad } from "./load-fixture.ts";

setDefaultTimeout(120_000);

/** Room for all stores and a little more. The disk lies in memory, and only the process that it is made for sees it. */
const diskMb = 192;
const onSmallDisk = (folder: string): readonly string[] => [
  "unshare",
  "--mount",
  "sh",
  "-c",
  `mount -t tmpfs -o size=${diskMb}m,mode=711 muin "$0" && cd "$0" && exec "$@"`,
  folder,
];

/** Mounting needs the rights of root, which a container may lack too. */
const mayMount =
  process.getuid?.() === 0 &&
  Bun.spawnSync(["unshare", "--mount", "sh", "-c", "mount -t tmpfs muin /mnt"], { stderr: "ignore" }).success;

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

/** In CI whoever is root must be able to. */
const isExcused = process.env["CI"] === undefined || process.getuid?.() !== 0;

test.skipIf(!mayMount && isExcused)(
  "with a full disk writes are refused and the disk is named; with room again all goes on, and nothing is lost (skipped where a disk cannot be mounted)",
  async () => {
    await using folder = await createMuinFolder();
    await using muin = await startMuin({
      folder,
      wrapper: onSmallDisk(folder.path),
      env: { MUIN_LOG_LEVEL: "error" },
    });
    const operations = muin.client(OperationsService);
    const load = await startLoad(muin, { prefix: "disk.", callers: 50 });
    await load.progress(1000);
    const filler = join(`/proc/${muin.pid}/root`, folder.path, "filler");
    await fill(filler);
    await eventually(
      async () => {
        expect([...load.failures().keys()].filter((name) => name.startsWith("Unavailable"))).not.toEqual([]);
        const { ready, stores } = await operations.getStatus({});
        expect(ready).toBe(false);
        expect(stores.find(({ name }) => name === "count-write/counts")).toMatchObject({
          reachable: false,
          detail: expect.stringContaining(`the disk of ${muin.dataDir} is full`),
        });
      },
      { timeoutMs: 20_000 },
    );
    expect(await (await fetch(muin.http)).text()).toContain("is full");
    expect((await fetch(`${muin.http}/readyz`)).status).toBe(503);
    await rm(filler);
    await load.progress(1000);
    await load.finish();
    await load.verify();
    await eventually(async () => {
      const { stores, services } = await operations.getStatus({});
      expect(stores.filter(({ reachable, detail }) => !reachable || detail !== "")).toEqual([]);
      expect(services.filter(({ ready }) => !ready)).toEqual([]);
    });
  },
);
