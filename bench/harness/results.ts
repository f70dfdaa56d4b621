import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";

const folder = join(import.meta.dir, "..", "results");

/** Writes a run as JSON lines, one object per line, to a file named after the suite and the time. Returns its path. */
export async function writeResults(suite: string, at: Date, lines: readonly object[]): Promise<string> {
  await mkdir(folder, { recursive: true });
  const path = join(folder, `${suite}-${at.toISOString().slice(0, 19).replaceAll(":", "")}Z.jsonl`);
  await writeFile(path, `${lines.map((line) => JSON.stringify(line)).join("\n")}\n`);
  return path;
}
