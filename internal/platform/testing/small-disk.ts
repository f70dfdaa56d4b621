import { expect } from "bun:test";
import { open, rm } from "node:fs/promises";
import { join } from "node:path";

/** A disk that lies in memory, mounted on a folder for one process and its children alone. It is gone when they are. */
export interface SmallDisk {
  /** The command that mounts it, works there, and runs the command after it. */
  readonly wrapper: readonly string[];
  /** Fills it to the last byte; `pid` is the process that sees it. Disposing makes room again. */
  fill(pid: number): Promise<AsyncDisposable>;
}

/** Whether a test that needs one is to be skipped: mounting needs the rights of root, which a container may lack too. In CI root must have them. */
export const lacksSmallDisk = !mayMount() && (process.env["CI"] === undefined || process.getuid?.() !== 0);

/** A disk on `folder`, an absolute path. */
export function createSmallDisk(folder: string, options: { readonly megabytes: number }): SmallDisk {
  // Others may pass through: PostgreSQL may run as another user, who must reach its data below.
  const script = `mount -t tmpfs -o size=${options.megabytes}m,mode=711 muin "$0" && cd "$0" && exec "$@"`;
  return {
    wrapper: ["unshare", "--mount", "sh", "-c", script, folder],
    fill: async (pid) => {
      const path = join(`/proc/${pid}/root`, folder, "filler");
      const file = await open(path, "w");
      try {
        const block = new Uint8Array(64 * 1024);
        for (;;) await file.write(block);
      } catch (error) {
        expect(String(error)).toContain("ENOSPC");
      } finally {
        await file.close();
      }
      return { [Symbol.asyncDispose]: () => rm(path) };
    },
  };
}

function mayMount(): boolean {
  if (process.getuid?.() !== 0) return false;
  return Bun.spawnSync(["unshare", "--mount", "sh", "-c", "mount -t tmpfs muin /mnt"], { stderr: "ignore" }).success;
}
