/**
 * Runs the test suite: `npm test -- [PATH...] [--filter PATTERN] [other options of bun test]`. Shows its output and ends with the
 * line `N passed, N failed, N skipped`. The exit code is 0 only when at least one test passed and none failed. Files run
 * one after the other, in one process: they share the servers, and two at once would measure each other.
 */
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../platform/clock/clock.ts";
import { provideRedis } from "../platform/local/redis-binary.ts";
import { SetupError } from "../platform/local/setup-error.ts";

/** Real servers start within a test; a hang is a failure long before the run's own limit. */
const testMsMax = 60_000;

/** What a run came to. */
export interface TestCounts {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

/**
 * Counts the tests of a JUnit report. A run that failed without a failed test, such as by a file that does not load, counts as
 * one failed.
 */
export function countTests(report: string, exitCode: number): TestCounts {
  const total = /<testsuites\b[^>]*>/.exec(report)?.[0] ?? "";
  const read = (name: string): number => Number(new RegExp(`\\b${name}="(\\d+)"`).exec(total)?.[1] ?? 0);
  const failures = read("failures");
  const skipped = read("skipped");
  const passed = read("tests") - failures - skipped;
  return { passed, failed: failures === 0 && exitCode !== 0 ? 1 : failures, skipped };
}

if (import.meta.main) {
  // Fetching or building it, once per machine, takes longer than any test may.
  try {
    await provideRedis({ env: process.env, report: (line) => console.error(line), clock: systemClock });
  } catch (error) {
    if (!(error instanceof SetupError)) throw error;
    console.error(error.message);
    process.exit(1);
  }
  const folder = await mkdtemp(join(tmpdir(), "muin-report-"));
  const reportFile = join(folder, "junit.xml");
  const options = process.argv.slice(2).map((argument) => argument.replace(/^--filter(?==|$)/, "--test-name-pattern"));
  const child = Bun.spawn(
    [
      process.execPath,
      "test",
      `--timeout=${testMsMax}`,
      "--reporter=junit",
      `--reporter-outfile=${reportFile}`,
      ...options,
    ],
    { stdio: ["ignore", "inherit", "inherit"], env: { ...process.env, NODE_ENV: "test" } },
  );
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => child.kill(signal));
  const exitCode = await child.exited;
  const report = await readFile(reportFile, "utf8").catch(() => ""); // Absent when no test ran at all.
  await rm(folder, { recursive: true, force: true });
  const { passed, failed, skipped } = countTests(report, exitCode);
  console.log(`\n${passed} passed, ${failed} failed, ${skipped} skipped`);
  process.exit(failed === 0 && passed > 0 ? 0 : 1);
}
