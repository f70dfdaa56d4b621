import { fdatasyncSync, writeSync } from "node:fs";
import { open, rm } from "node:fs/promises";
import { join } from "node:path";
import { figureOf } from "./statistics.ts";

const probeCount = 200;
/** About what one batch appends. */
const probeBytes = 4096;

/** Median time of an append of 4 KiB and its fdatasync in a folder, in milliseconds. */
export async function fdatasyncP50Ms(folder: string): Promise<number> {
  const path = join(folder, "fdatasync-probe");
  const file = await open(path, "w");
  try {
    const bytes = new Uint8Array(probeBytes);
    const times = Array.from({ length: probeCount }, () => {
      const startedMs = performance.now();
      writeSync(file.fd, bytes);
      fdatasyncSync(file.fd);
      return performance.now() - startedMs;
    });
    return figureOf(times).median;
  } finally {
    await file.close();
    await rm(path);
  }
}
