import { expect, setDefaultTimeout, test } from "bun:test";
import { OperationsService } from "../gen/muin/platform/v1/operations_service_pb.ts";
import { eventually } from "../platform/testing/eventually.ts";
import { createMuinFolder, startMuin } from "../platform/testing/muin.ts";
import { createSmallDisk, lacksSmallDisk } from "../platform/testing/small-disk.ts";
import { startLoad } from "./load-fixture.ts";

setDefaultTimeout(120_000);

test.skipIf(lacksSmallDisk)(
  "with a full disk writes are refused and the disk is named; with room again all goes on, and nothing is lost (skipped where a disk cannot be mounted)",
  async () => {
    await using folder = await createMuinFolder();
    // Room for all stores and a little more.
    const disk = createSmallDisk(folder.path, { megabytes: 192 });
    await using muin = await startMuin({ folder, wrapper: disk.wrapper, env: { MUIN_LOG_LEVEL: "error" } });
    const operations = muin.client(OperationsService);
    const load = await startLoad(muin, { prefix: "disk.", callers: 50 });
    await load.progress(1000);
    const full = await disk.fill(muin.pid);
    // Between two of its ends the server is there for a moment, until something is written.
    await eventually(
      async () => {
        expect([...load.failures().keys()].filter((name) => name.startsWith("Unavailable"))).not.toEqual([]);
        const { ready, stores } = await operations.getStatus({});
        expect(ready).toBe(false);
        expect(stores.find(({ name }) => name === "count-write/counts")).toMatchObject({
          reachable: false,
          detail: expect.stringContaining(`the disk of ${muin.dataDir} is full`),
        });
        expect(await (await fetch(muin.operator)).text()).toContain("is full");
        expect((await fetch(`${muin.http}/readyz`)).status).toBe(503);
      },
      { timeoutMs: 20_000 },
    );
    await full[Symbol.asyncDispose]();
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
