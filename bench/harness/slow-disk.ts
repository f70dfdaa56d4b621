import { chmod, open, writeFile } from "node:fs/promises";
import { join } from "node:path";

/** A disk whose fsync can be made slower while servers run on it. */
export interface SlowDisk {
  /** A program that runs `redis-server` on this disk. */
  readonly redisServer: string;
  /** From now on each fdatasync and fsync takes so much longer; 0 at first. */
  setDelayUs(us: number): Promise<void>;
}

/**
 * Prepares a slow disk in `folder`: a library of ours, preloaded into each Redis, that sleeps after every fdatasync and fsync
 * for the time that stands in a shared page of memory. `undefined` when it cannot be compiled here.
 */
export async function createSlowDisk(folder: string, redisServer: string): Promise<SlowDisk | undefined> {
  const compiler = Bun.which("gcc") ?? Bun.which("cc");
  if (compiler === null) return undefined;
  const library = join(folder, "slow-disk.so");
  const compiled = Bun.spawn(
    [compiler, "-O2", "-shared", "-fPIC", "-o", library, join(import.meta.dir, "slow-disk.c")],
    { stdin: "ignore", stdout: "ignore", stderr: "ignore" },
  );
  if ((await compiled.exited) !== 0) return undefined;
  const setting = join(folder, "slow-disk-us");
  await writeFile(setting, new Uint8Array(4));
  const program = join(folder, "redis-server");
  await writeFile(
    program,
    `#!/bin/sh\nexport SLOW_DISK_FILE='${setting}'\nLD_PRELOAD='${library}' exec '${redisServer}' "$@"\n`,
  );
  await chmod(program, 0o755);
  return {
    redisServer: program,
    setDelayUs: async (us) => {
      // In place: the servers have this very file mapped.
      const file = await open(setting, "r+");
      await file.write(new Uint8Array(Int32Array.of(us).buffer), 0, 4, 0);
      await file.close();
    },
  };
}
