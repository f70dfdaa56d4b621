import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";

/**
 * Imports a module with one rule broken, so that a test can show that it would catch the break. `path` is absolute; `from` must
 * occur in it exactly once and is replaced by `to`. The module's own imports stay whole.
 */
export async function importMutant<T>(path: string, from: string, to: string): Promise<T> {
  const source = readFileSync(path, "utf8");
  const occurrences = source.split(from).length - 1;
  if (occurrences !== 1) throw new Error(`${basename(path)} has ${occurrences} of ${JSON.stringify(from)}, not one`);
  const moved = source
    .replace(from, () => to)
    .replace(
      /(\bfrom\s+)"(\.[^"]*)"/g,
      (_, keyword: string, file: string) => `${keyword}"${resolve(dirname(path), file)}"`,
    );
  // Within node_modules, where packages resolve and no check looks.
  const cache = join(import.meta.dir, "../../../node_modules/.cache/muin-mutants");
  mkdirSync(cache, { recursive: true });
  const folder = mkdtempSync(join(cache, "m-"));
  try {
    const file = join(folder, basename(path));
    writeFileSync(file, moved);
    return (await import(file)) as T;
  } finally {
    rmSync(folder, { recursive: true });
  }
}
