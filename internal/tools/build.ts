/** Compiles every `cmd/<name>/main.ts` to the binary `dist/<name>`. Arguments choose some of them by name; `--to=FOLDER` puts them elsewhere. */
import { Glob } from "bun";
import { basename, dirname, join, relative, resolve } from "node:path";
import { stat } from "node:fs/promises";

const root = resolve(import.meta.dir, "../..");

/** Compiles `cmd/<name>/main.ts` to the binary `<folder>/<name>` and returns its path. */
async function buildBinary(name: string, folder: string): Promise<string> {
  const outfile = join(folder, name);
  const child = Bun.spawn(
    [
      process.execPath,
      "build",
      "--compile",
      "--minify",
      "--bytecode",
      "--format=esm",
      "--sourcemap",
      // A binary takes its settings from its own environment, whatever lies in the folder where it is started.
      "--no-compile-autoload-dotenv",
      "--no-compile-autoload-bunfig",
      join(root, "cmd", name, "main.ts"),
      `--outfile=${outfile}`,
    ],
    { cwd: root, stdio: ["ignore", "ignore", "inherit"] },
  );
  if ((await child.exited) !== 0) throw new Error(`${outfile} could not be built`);
  return outfile;
}

const args = process.argv.slice(2);
const folder = args.find((arg) => arg.startsWith("--to="))?.slice("--to=".length) ?? join(root, "dist");
const wanted = args.filter((arg) => !arg.startsWith("--to="));
const mains = (await Array.fromAsync(new Glob("cmd/*/main.ts").scan({ cwd: root }))).toSorted();
const names = mains.map((main) => basename(dirname(main)));
const unknown = wanted.filter((name) => !names.includes(name));
if (unknown.length > 0) {
  console.error(`There is no cmd/${unknown[0]}; there are: ${names.join(", ")}`);
  process.exit(2);
}
for (const name of names.filter((name) => wanted.length === 0 || wanted.includes(name))) {
  const binary = await buildBinary(name, folder);
  console.log(`${relative(root, binary)}  ${Math.round((await stat(binary)).size / 1e6)} MB`);
}
