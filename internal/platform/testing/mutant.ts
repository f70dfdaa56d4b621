import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";

/**
 * Imports a module with one rule broken, so that a test can show that it would catch the break. `path` is absolute; `from` must
 * occur in it exactly once and is replaced by `to`.
 *
 * Returned is the module itself or, with `through`, the last module that it names by absolute path: that one is imported anew
 * with the broken module in the place of the whole one, wherever it is imported on the way, however many modules lie between.
 * Modules that do not lead to the broken one stay whole and are shared with the test. `through` may name further modules that
 * the last one leads to; they say nothing that is not found out.
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
  const entry = through.at(-1) ?? path;
  // Within node_modules, where packages resolve and no check looks.
  const cache = join(import.meta.dir, "../../../node_modules/.cache/muin-mutants");
  mkdirSync(cache, { recursive: true });
  const folder = mkdtempSync(join(cache, "m-"));
  try {
    const moved = new Map<string, string>();
    for (const module of modulesBetween(entry, path)) {
      const text = readFileSync(module, "utf8");
      const broken = module === path ? text.replace(from, () => to) : text;
      const file = join(folder, `${moved.size}`, basename(module));
      mkdirSync(dirname(file));
      writeFileSync(
        file,
        broken.replace(relativeImport, (_, keyword: string, relative: string) => {
          const imported = resolve(dirname(module), relative);
          return `${keyword}"${moved.get(imported) ?? imported}"`;
        }),
      );
      moved.set(module, file);
    }
    const copy = moved.get(entry);
    if (copy === undefined) throw new Error(`${entry} does not lead to ${path}`);
    return (await import(copy)) as T;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const relativeImport = /(\bfrom\s+)"(\.[^"]*)"/g;

/** The modules on any way of imports from `entry` to `target`, both included; each after those that it imports. */
function modulesBetween(entry: string, target: string): readonly string[] {
  const leads = new Map<string, boolean>();
  const found: string[] = [];
  const visit = (module: string): boolean => {
    const known = leads.get(module);
    if (known !== undefined) return known;
    leads.set(module, module === target); // A cycle of types ends here.
    let isBetween = module === target;
    for (const [, , relative = ""] of readFileSync(module, "utf8").matchAll(relativeImport)) {
      if (!relative.endsWith(".ts")) continue;
      if (visit(resolve(dirname(module), relative))) isBetween = true;
    }
    leads.set(module, isBetween);
    if (isBetween) found.push(module);
    return isBetween;
  };
  visit(entry);
  return found;
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
