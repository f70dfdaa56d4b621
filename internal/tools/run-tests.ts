/**
 * Runs tests: `npm test -- [PATH...] [--filter PATTERN] [--suite pure|server|system] [--all] [--OPTION=VALUE of bun test...]`.
 *
 * A PATH chooses the files whose path contains it. Suites run one after the other; which one a file belongs to follows from what it
 * imports (`test-suites.ts`). Mutants, which show that a test notices a broken rule, have that word in their names: in CI, with
 * `--all`, PATH or `--filter` all chosen ones run; otherwise those of files that differ from the main branch.
 *
 * A file's output is printed whole. At the end stand the slowest files, promised times as measured, what was skipped with its reason, what failed, and the line
 * `N passed, N failed, N skipped`. The exit code is 0 only when at least one test passed and none failed.
 */
import { mkdir, mkdtemp, readFile, rm } from "node:fs/promises";
import { availableParallelism, tmpdir } from "node:os";
import { join, relative, resolve } from "node:path";
import { Glob } from "bun";
import { systemClock } from "../platform/clock/clock.ts";
import { provideRedis } from "../platform/local/redis-binary.ts";
import { SetupError } from "../platform/local/setup-error.ts";
import { promisedMark } from "../platform/testing/promised-mark.ts";
import { changedFiles } from "./changed-files.ts";
import { createTestOutput, type FailedTest, type NamedTest } from "./test-output.ts";
import { readReport, type FileTime } from "./test-report.ts";
import { hasMutants, isTouched, suiteOf, suites, type Suite } from "./test-suites.ts";

/** Real servers start within a test; a hang is a failure long before the run's own limit. */
const testMsMax = 60_000;
/** Processes of a suite that run at the same time: as many as the machine has processors, within these bounds. */
const workersMin = 2;
const workersMax = 4;
/** So many of the slowest files are named at the end. */
const slowestMax = 20;
/** Exit code of a process that a signal interrupted. */
const interruptedExitCode = 130;

const root = resolve(import.meta.dir, "../..");

/** What a person asked for. */
interface Order {
  readonly paths: readonly string[];
  /** Regular expression for full names of tests. */
  readonly filter: string | undefined;
  readonly suites: readonly Suite[];
  readonly allMutants: boolean;
  /** For `bun test`. */
  readonly options: readonly string[];
}

/** Files that one `bun test` runs. */
interface Run {
  readonly suite: Suite;
  readonly files: readonly string[];
  readonly filter: string | undefined;
}

/** What the runs came to so far. */
interface Outcome {
  passed: number;
  failed: number;
  readonly times: FileTime[];
  readonly skipped: NamedTest[];
  /** How promises were kept, as lines. */
  readonly promises: string[];
  readonly failures: FailedTest[];
}

/** A test's full name without the word that marks mutants. */
const noMutant = "^(?!.*\\b[Mm]utants?\\b)";

function readOrder(args: readonly string[], inCi: boolean): Order {
  const paths: string[] = [];
  const options: string[] = [];
  let filter: string | undefined;
  let chosen: readonly Suite[] = suites;
  let all = inCi;
  const left = args.flatMap((arg) => (/^--(filter|suite)=/.test(arg) ? splitOnce(arg) : [arg]));
  for (let arg = left.shift(); arg !== undefined; arg = left.shift()) {
    if (arg === "--all") all = true;
    else if (arg === "--filter" || arg === "-t") filter = left.shift() ?? "";
    else if (arg === "--suite") chosen = [suiteNamed(left.shift())];
    else if (arg.startsWith("-")) options.push(arg);
    else paths.push(relative(process.cwd(), resolve(arg)));
  }
  return { paths, filter, suites: chosen, options, allMutants: all || paths.length > 0 || filter !== undefined };
}

function splitOnce(option: string): [string, string] {
  const at = option.indexOf("=");
  return [option.slice(0, at), option.slice(at + 1)];
}

function suiteNamed(name: string | undefined): Suite {
  const suite = suites.find((each) => each === name);
  if (suite === undefined) throw new SetupError(`--suite accepts ${suites.join(", ")}`);
  return suite;
}

async function planRuns(order: Order): Promise<{ readonly runs: readonly Run[]; readonly heldBack: number }> {
  const found = [...new Glob("**/*.test.ts").scanSync(".")]
    .filter((file) => !/(^|\/)(node_modules|dist)\//.test(file))
    .filter((file) => order.paths.length === 0 || order.paths.some((path) => file.includes(path)))
    .toSorted();
  const changed = order.allMutants ? undefined : await changedFiles(process.cwd());
  const hasAll = (file: string): boolean =>
    changed === undefined || !hasMutants(resolve(file)) || isTouched(resolve(file), changed);
  const runs = order.suites.flatMap((suite): Run[] => {
    const files = found.filter((file) => suiteOf(resolve(file)) === suite);
    return [
      { suite, files: files.filter(hasAll), filter: order.filter },
      { suite, files: files.filter((file) => !hasAll(file)), filter: noMutant },
    ];
  });
  return {
    runs: runs.filter(({ files }) => files.length > 0),
    heldBack: found.filter((file) => !hasAll(file)).length,
  };
}

const children = new Set<Bun.Subprocess>();
let interrupted = false;

async function runFiles({ suite, files, filter }: Run, order: Order, outcome: Outcome): Promise<void> {
  const processes = Math.min(Math.max(availableParallelism(), workersMin), workersMax);
  const workers = suite === "system" ? 1 : Math.min(processes, files.length);
  const folder = await mkdtemp(join(tmpdir(), "muin-report-"));
  const reportFile = join(folder, "junit.xml");
  const cache = join(root, "node_modules/.cache/muin-tests");
  await mkdir(cache, { recursive: true });
  const parallel = [
    `--parallel=${workers}`,
    "--no-isolate", // The files of a worker share its servers.
    "--parallel-delay=0",
    // Starts what took longest first. Files elsewhere are none of this repository's.
    ...(process.cwd() === root ? [`--timings=${join(cache, `${suite}.json`)}`, "--update-timings"] : []),
  ];
  const command = [
    process.execPath,
    "test",
    `--timeout=${testMsMax}`,
    `--preload=${join(import.meta.dir, "test-file-ended.ts")}`,
    "--reporter=junit",
    `--reporter-outfile=${reportFile}`,
    ...(workers === 1 ? [] : parallel),
    ...(filter === undefined ? [] : [`--test-name-pattern=${filter}`]),
    ...order.options,
    ...files.map((file) => `./${file}`),
  ];
  const output = createTestOutput({ workers, print: (line) => console.log(line) });
  // Both of its streams are one, so that lines keep their order.
  const child = Bun.spawn(["sh", "-c", 'exec "$@" 2>&1', "sh", ...command], {
    stdio: ["ignore", "pipe", "inherit"],
    env: { ...process.env, NODE_ENV: "test" },
  });
  children.add(child);
  for await (const line of linesOf(child.stdout)) {
    output.line(line);
    if (line.startsWith(promisedMark)) outcome.promises.push(line.slice(promisedMark.length));
  }
  const exitCode = await child.exited;
  children.delete(child);
  const seen = output.end();
  const report = await readFile(reportFile, "utf8").catch(() => ""); // Absent when no test ran at all.
  await rm(folder, { recursive: true, force: true });
  const { passed, failed, times } = readReport(report);
  outcome.passed += passed;
  outcome.failed += failed + seen.broken;
  outcome.times.push(...times);
  outcome.skipped.push(...seen.skipped);
  outcome.failures.push(...seen.failed);
  const isClean = seen.isComplete && (exitCode === 0 || failed + seen.broken > 0 || seen.matchedNone);
  if (!isClean) {
    outcome.failed += 1;
    outcome.failures.push({ file: seen.last, text: `the process of the tests ended with code ${exitCode}` });
  }
}

async function* linesOf(stream: ReadableStream<Uint8Array<ArrayBuffer>>): AsyncGenerator<string, undefined> {
  let rest = "";
  for await (const text of stream.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + text).split("\n");
    rest = lines.pop() ?? "";
    yield* lines;
  }
  if (rest !== "") yield rest;
}

function printOutcome({ passed, failed, times, skipped, promises, failures }: Outcome, heldBack: number): void {
  console.log(`\nslowest files:`);
  for (const { file, seconds } of times.toSorted((a, b) => b.seconds - a.seconds).slice(0, slowestMax)) {
    console.log(`${seconds.toFixed(1).padStart(7)} s  ${file}`);
  }
  if (promises.length > 0) console.log(`\npromised, and as measured here:`);
  for (const line of promises.toSorted()) console.log(`  ${line}`);
  if (skipped.length > 0) console.log(`\nskipped:`);
  for (const { file, name } of skipped) console.log(`  ${file}: ${name}`);
  if (failures.length > 0) console.log(`\nfailed:`);
  for (const { file, text } of failures) console.log(`\n${file}:\n${text}`);
  if (heldBack > 0) console.log(`\nWithout the mutants of ${heldBack} files that were not touched (--all runs them).`);
  console.log(`\n${passed} passed, ${failed} failed, ${skipped.length} skipped`);
}

async function main(): Promise<number> {
  const order = readOrder(process.argv.slice(2), process.env["CI"] !== undefined);
  // Fetching or building it, once per machine, takes longer than any test may.
  await provideRedis({ env: process.env, report: (line) => console.error(line), clock: systemClock });
  const { runs, heldBack } = await planRuns(order);
  if (runs.length === 0) console.error("no test file has this path");
  const outcome: Outcome = { passed: 0, failed: 0, times: [], skipped: [], promises: [], failures: [] };
  for (const run of runs) {
    if (interrupted) break;
    const startedAt = performance.now();
    await runFiles(run, order, outcome);
    const seconds = ((performance.now() - startedAt) / 1000).toFixed(1);
    console.log(`\n== ${run.suite}: ${run.files.length} files in ${seconds} s`);
  }
  printOutcome(outcome, heldBack);
  if (interrupted) return interruptedExitCode;
  return outcome.failed === 0 && outcome.passed > 0 ? 0 : 1;
}

if (import.meta.main) {
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    process.on(signal, () => {
      interrupted = true;
      for (const child of children) child.kill(signal);
    });
  }
  try {
    process.exit(await main());
  } catch (error) {
    if (!(error instanceof SetupError)) throw error;
    console.error(error.message);
    process.exit(1);
  }
}
