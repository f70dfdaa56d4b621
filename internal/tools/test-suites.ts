import { readFileSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";

/**
 * Kinds of tests, in the order in which they run:
 *
 * - `pure`: needs no server. Several files at a time.
 * - `server`: needs PostgreSQL or Redis. Several processes at a time, each with servers of its own, which its files share.
 * - `system`: judges the whole of Muin, or measures: all of `internal/system` and `bench`. One file at a time, since two at once would
 *   measure each other.
 */
export const suites = ["pure", "server", "system"] as const;

/** A kind of tests. */
export type Suite = (typeof suites)[number];

const root = resolve(import.meta.dir, "../..");

/** Folders of the suite "system". */
const systemFolders = ["internal/system", "bench"].map((folder) => join(root, folder, "/"));

/** Modules that start servers: a test that imports one of them, directly or through others, is of the suite "server". */
const serverModules = ["muin.ts", "postgres.ts", "redis.ts", "local-stores.ts", "server-process.ts"].map((name) =>
  join(root, "internal/platform/testing", name),
);

/** The suite of a test file, given by its absolute path. */
export function suiteOf(file: string): Suite {
  if (systemFolders.some((folder) => file.startsWith(folder))) return "system";
  const imported = importedBy(file, () => true);
  return serverModules.some((module) => imported.has(module)) ? "server" : "pure";
}

/** Code that tests alone use, beside `*.test.ts` themselves. */
const testCode = /(-fixture|\.contract|-child)\.ts$|\/testdata\//;

/** Whether a test file has mutants: tests with that word in their names, which show that it notices a broken rule. */
export function hasMutants(file: string): boolean {
  return /\bmutants?\b/i.test(read(file));
}

/**
 * Whether the mutants of a test file are worth a run: whether one of the files that were touched, given by absolute paths, is the test
 * itself or named in it, or in a fixture, contract or child that it imports.
 */
export function isTouched(file: string, touched: ReadonlySet<string>): boolean {
  const names = new Set([...touched].map((path) => basename(path)));
  for (const module of importedBy(file, (path) => testCode.test(path))) {
    if (module !== file && !testCode.test(module)) continue;
    if (touched.has(module)) return true;
    for (const [, name = ""] of read(module).matchAll(/["'`/]([\w.-]+\.ts)["'`]/g)) if (names.has(name)) return true;
  }
  return false;
}

/** A module as an import names it, or a test that starts a process with it. */
const namedModule = /["']((?:\.{1,2}\/)*[\w./-]+\.ts)["']/g;

/** The file and the modules that it names by relative paths; what a named module names only where `goesOn` says so. */
function importedBy(file: string, goesOn: (module: string) => boolean): ReadonlySet<string> {
  const found = new Set([file]);
  for (const module of found) {
    if (module !== file && !goesOn(module)) continue;
    for (const [, relative = ""] of read(module).matchAll(namedModule)) found.add(resolve(dirname(module), relative));
  }
  return found;
}

const texts = new Map<string, string>();

/** The text of a module, "" when there is none. */
function read(module: string): string {
  let text = texts.get(module);
  if (text === undefined) {
    try {
      text = readFileSync(module, "utf8");
    } catch {
      text = ""; // The test that imports it says so.
    }
    texts.set(module, text);
  }
  return text;
}
