/** Compiles every `cmd/<name>/main.ts` to the binary `dist/<name>`. Arguments choose some of them by name. */
import { Glob } from "bun";
import { dirname, basename, join, resolve } from "node:path";
import { stat } from "node:fs/promises";

const root = resolve(import.meta.dir, "../../..");
const wanted = process.argv.slice(2);
const mains = (await Array.fromAsync(new Glob("cmd/*/main.ts").scan({ cwd: root }))).toSorted();
const names = mains.map((main) => basename(dirname(main)));
const unknown = wanted.filter((name) => !names.includes(name));
if (unknown.length > 0) {
  console.error(`There is no cmd/${unknown[0]}; there are: ${names.join(", ")}`);
  process.exit(2);
}
for (const name of names.filter((name) => wanted.length === 0 || wanted.includes(name))) {
  const outfile = join(root, "dist", name);
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
  if ((await child.exited) !== 0) {
    console.error(`dist/${name} could not be built.`);
    process.exit(1);
  }
  console.log(`dist/${name}  ${Math.round((await stat(outfile)).size / 1e6)} MB`);
}
