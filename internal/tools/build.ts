/** Compiles every `cmd/<name>/main.ts` to the binary `dist/<name>`. Arguments choose some of them by name; `--to=FOLDER` puts them elsewhere. */
import { Glob, type BunPlugin } from "bun";
import { basename, dirname, join, relative, resolve } from "node:path";
import { stat } from "node:fs/promises";
import { OperationsService } from "../gen/muin/platform/v1/operations_service_pb.ts";
import { packagesOf } from "../platform/rpc/rest/comments.ts";
import { catalog } from "../catalog.ts";
import { compile, threadsOfSources } from "./compile.ts";

const root = resolve(import.meta.dir, "../..");
const threads = await threadsOfSources();

/** Compiles `cmd/<name>/main.ts` to the binary `<folder>/<name>` and returns its path. */
async function buildBinary(name: string, folder: string): Promise<string> {
  const outfile = join(folder, name);
  const service = catalog.find((each) => each.name === name);
  await compile({
    main: join(root, "cmd", name, "main.ts"),
    threads,
    outfile,
    plugins: service === undefined ? [] : [onlyCommentsOf(packagesOf([...service.serves, OperationsService]))],
  });
  return outfile;
}

/** Leaves out of a service's binary what the protos of packages say that it does not serve: it describes only its own. */
function onlyCommentsOf(packages: ReadonlySet<string>): BunPlugin {
  return {
    name: "comments",
    setup: (build) => {
      build.onLoad({ filter: /\/internal\/gen\/package-comments\.ts$/ }, async ({ path }) => {
        const lines = (await Bun.file(path).text()).split("\n");
        const kept = lines.filter((line) => {
          const of = /^ {2}"([\w.]+)": \(\) => import\(/.exec(line)?.[1];
          return of === undefined || packages.has(of);
        });
        return { contents: kept.join("\n"), loader: "ts" };
      });
    },
  };
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
