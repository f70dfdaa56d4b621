import { mkdir } from "node:fs/promises";
import { homedir } from "node:os";
import { join, resolve } from "node:path";
import { runToEnd, toolFolder } from "../run-program.ts";

const version = "v1.0.5";
const goModule = "connectrpc.com/conformance";
const root = resolve(import.meta.dir, "../../..");
/** Longest that one port's run may take, in milliseconds. */
const runMsMax = 8 * 60_000;
/** Servers at a time, and calls at a time to each: what two cores take without missing the suite's own deadlines. */
const serversMax = 2;
const callsMax = 4;

/** The ports with the suite's configuration for each. */
export const ports = ["http", "grpc"] as const;

/** How a run of the suite ended. */
export interface SuiteResult {
  readonly passed: number;
  readonly failed: number;
  /** What the suite printed. */
  readonly output: string;
}

/** A suite ready to run. */
export interface Suite {
  run(port: (typeof ports)[number]): Promise<SuiteResult>;
}

/** Why the suite cannot run here; `undefined` when it can. */
export function missingForSuite(): string | undefined {
  return Bun.which("go") === null ? "the conformance suite is written in Go, and there is no go on PATH" : undefined;
}

/**
 * Builds the suite at its pinned version, once per user, in the cache folder, and generates its protos into the project's
 * ignored cache folder, where they find their packages.
 */
export async function prepareSuite(): Promise<Suite> {
  const cache = toolFolder(`connectconformance-${version.slice(1)}`);
  const binary = join(cache, "connectconformance");
  const download = ["go", "mod", "download", "-json", `${goModule}@${version}`];
  const { Dir: source } = JSON.parse((await runToEnd(download, { cwd: homedir() })).output) as { Dir: string };
  if (!(await Bun.file(binary).exists())) {
    await mkdir(cache, { recursive: true });
    await runToEnd(["go", "install", `${goModule}/cmd/connectconformance@${version}`], { env: { GOBIN: cache } });
  }
  const generated = join(root, ".cache/conformance");
  const bin = join(root, "node_modules/.bin");
  const template = {
    version: "v2",
    plugins: [{ local: join(bin, "protoc-gen-es"), out: ".", opt: ["target=ts", "import_extension=ts"] }],
  };
  await runToEnd(
    [
      join(bin, "buf"),
      "generate",
      join(source, "proto"),
      "--template",
      JSON.stringify(template),
      "--output",
      generated,
    ],
    { env: { PATH: `${bin}:${process.env["PATH"] ?? ""}` } },
  );
  return {
    run: async (port) => {
      const { output } = await runToEnd(
        [
          binary,
          "--mode=server",
          `--conf=${join(import.meta.dir, `${port}.yaml`)}`,
          `--max-servers=${serversMax}`,
          `--parallel=${callsMax}`,
          "--",
          process.execPath,
          join(import.meta.dir, "shim.ts"),
          generated,
        ],
        { mayFail: true, timeout: runMsMax },
      );
      const counts = /(\d+) passed, (\d+) failed/.exec(output);
      if (counts === null) throw new Error(`the conformance suite printed no result:\n${output}`);
      return { passed: Number(counts[1]), failed: Number(counts[2]), output };
    },
  };
}
