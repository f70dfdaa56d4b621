import { expect, setDefaultTimeout, test } from "bun:test";
import { mkdir, open, rm } from "node:fs/promises";
import { join } from "node:path";
import { Code, ConnectError } from "@connectrpc/connect";
import {
  CountCheckState,
  CountManagementService,
} from "../../internal/gen/muin/count/v1/count_management_service_pb.ts";
import { CountWriteService } from "../../internal/gen/muin/count/v1/count_write_service_pb.ts";
import { OperationsService } from "../../internal/gen/muin/platform/v1/operations_service_pb.ts";
import { eventually } from "../../internal/platform/testing/eventually.ts";
import { createMuinFolder, startMuin } from "../../internal/platform/testing/muin.ts";

setDefaultTimeout(120_000);

/** Room for a cluster of PostgreSQL and little else. */
const diskMb = 256;
const run = (...command: string[]): boolean => Bun.spawnSync(command).success;
const mayMount =
  process.getuid?.() === 0 && run("unshare", "--mount", "sh", "-c", "mount -t tmpfs -o size=1m muin-test /mnt");

// Mounting needs the rights of root.
test.skipIf(!mayMount)(
  "a full disk: writes are UNAVAILABLE, status names it, and with room again nothing is lost",
  async () => {
    await using folder = await createMuinFolder();
    await mkdir(folder.dataDir);
    expect(run("mount", "-t", "tmpfs", "-o", `size=${diskMb}m,mode=711`, "muin-test", folder.dataDir)).toBe(true);
    try {
      await using muin = await startMuin({ folder });
      const write = muin.client(CountWriteService);
      await muin.client(CountManagementService).createCount({ countId: "kept" });
      let acknowledged = 0n;
      /** A write that may be repeated until it is answered. */
      const increment = async (): Promise<void> => {
        await write.increment({ countId: "kept", requestId: `request-${acknowledged + 1n}` });
        acknowledged += 1n;
      };
      for (let written = 0; written < 20; written++) await increment();

      const filler = join(folder.dataDir, "filler");
      await fill(filler);
      const refusal = await eventually(
        async () => {
          try {
            for (;;) await increment();
          } catch (error) {
            return ConnectError.from(error);
          }
        },
        { timeoutMs: 30_000 },
      );
      expect(refusal.code).toBe(Code.Unavailable);
      await eventually(
        async () => {
          const { ready, stores } = await muin.client(OperationsService).getStatus({});
          expect(ready).toBe(false);
          expect(stores.find(({ name }) => name === "count-write/counts")).toMatchObject({
            reachable: false,
            detail: expect.stringContaining(`the disk of ${folder.dataDir} is full`) as string,
          });
        },
        { timeoutMs: 20_000 },
      );

      await rm(filler);
      await eventually(increment, { timeoutMs: 40_000 });
      for (let written = 0; written < 20; written++) await increment();
      const { value } = await write.increment({ countId: "kept" });
      expect(value?.value).toBe(acknowledged + 1n);
      // Their events arrive as well.
      await eventually(
        async () => {
          const { checks } = await muin.client(CountManagementService).verifyCounts({});
          expect(checks).toMatchObject([
            { countId: "kept", state: CountCheckState.EQUAL, sum: acknowledged + 1n, sinceRevision: 0n },
          ]);
        },
        { timeoutMs: 40_000 },
      );
    } finally {
      run("umount", "--lazy", folder.dataDir);
    }
  },
);

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
