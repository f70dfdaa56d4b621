import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";

const folder = join(import.meta.dir, "..", "results");

/** Writes a run as JSON lines, one object per line, to a file named after the suite and the time. Returns its path. */
export function writeResults(suite: string, at: Date, lines: readonly object[]): Promise<string> {
  return write(`${suite}-${stampOf(at)}.jsonl`, lines.map((line) => JSON.stringify(line)).join("\n"));
}

/** The same for text. */
export function writeText(suite: string, at: Date, text: string): Promise<string> {
  return write(`${suite}-${stampOf(at)}.txt`, text);
}

async function write(name: string, text: string): Promise<string> {
  await mkdir(folder, { recursive: true });
  const path = join(folder, name);
  await writeFile(path, `${text}\n`);
  return path;
}

function stampOf(at: Date): string {
  return `${at.toISOString().slice(0, 19).replaceAll(":", "")}Z`;
}
