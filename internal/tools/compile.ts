import { Glob, type BunPlugin } from "bun";
import { basename, join, resolve } from "node:path";

const root = resolve(import.meta.dir, "../..");

/** What a binary is made of. */
export interface Compiled {
  /** The module that it runs. */
  readonly main: string;
  /** Modules that it runs in threads, see `startThread`. */
  readonly threads: readonly string[];
  readonly outfile: string;
  readonly plugins?: readonly BunPlugin[];
}

/** Compiles a binary. Rejects when it cannot be built, or when two of its threads have the same name. */
export async function compile({ main, threads, outfile, plugins = [] }: Compiled): Promise<void> {
  const names = threads.map((thread) => basename(thread));
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice !== undefined) throw new Error(`two threads are called ${twice}: a binary finds them by their names`);
  const { success, logs } = await Bun.build({
    entrypoints: [main, ...threads],
    naming: { entry: "[name].[ext]" },
    // A binary takes its settings from its own environment, whatever lies in the folder where it is started.
    compile: { outfile, autoloadDotenv: false, autoloadBunfig: false },
    minify: true,
    bytecode: true,
    format: "esm",
    sourcemap: "linked",
    plugins: [...plugins],
    throw: false,
  });
  if (!success) throw new AggregateError(logs, `${outfile} could not be built`);
}

/** The modules of all sources that run in threads, by path. What tests alone start is not among them. */
export async function threadsOfSources(): Promise<readonly string[]> {
  const found = await Array.fromAsync(new Glob("{cmd,internal}/**/*-thread.ts").scan({ cwd: root }));
  return found
    .filter((file) => !file.includes("/testdata/"))
    .toSorted()
    .map((file) => join(root, file));
}
