import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";

/**
 * Imports a module with one rule broken, so that a test can show that it would catch the break. `path` is absolute; `from` must
 * occur in it exactly once and is replaced by `to`. The module's own imports stay whole.
 *
 * `through` names, by absolute paths, modules of which each imports the one before, the first of them the broken one: they are
 * imported anew with the broken one in them, and the last is returned.
 */
export async function importMutant<T>(
  path: string,
  from: string,
  to: string,
  through: readonly string[] = [],
): Promise<T> {
  const source = readFileSync(path, "utf8");
  const occurrences = source.split(from).length - 1;
  if (occurrences !== 1) throw new Error(`${basename(path)} has ${occurrences} of ${JSON.stringify(from)}, not one`);
  // Within node_modules, where packages resolve and no check looks.
  const cache = join(import.meta.dir, "../../../node_modules/.cache/muin-mutants");
  mkdirSync(cache, { recursive: true });
  const folder = mkdtempSync(join(cache, "m-"));
  try {
    const moved = new Map<string, string>();
    const move = (path: string, text: string): void => {
      const importing = text.replace(/(\bfrom\s+)"(\.[^"]*)"/g, (_, keyword: string, relative: string) => {
        const file = resolve(dirname(path), relative);
        return `${keyword}"${moved.get(file) ?? file}"`;
      });
      const file = join(folder, `${moved.size}`, basename(path));
      mkdirSync(dirname(file));
      writeFileSync(file, importing);
      moved.set(path, file);
    };
    move(
      path,
      source.replace(from, () => to),
    );
    for (const outer of through) move(outer, readFileSync(outer, "utf8"));
    return (await import([...moved.values()].at(-1) as string)) as T;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Runs a check that must fail by an assertion of its own. Throws when it does not: a mutant that nobody notices. */
export async function caught(check: () => Promise<void> | void): Promise<void> {
  try {
    await check();
  } catch (error) {
    if (error instanceof Error && /expect\(|Property failed/.test(error.message)) return;
    throw new Error("the mutant broke the test instead of failing it", { cause: error });
  }
  throw new Error("the mutant was not noticed");
}
