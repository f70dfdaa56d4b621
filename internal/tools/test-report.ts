/** How long a file's tests took. */
export interface FileTime {
  readonly file: string;
  readonly seconds: number;
}

/** What a run's JUnit report says; a report that is absent says nothing. */
export interface TestReport {
  readonly passed: number;
  readonly failed: number;
  readonly times: readonly FileTime[];
}

/** Reads a JUnit report of `bun test`. */
export function readReport(report: string): TestReport {
  const total = /<testsuites\b[^>]*>/.exec(report)?.[0] ?? "";
  const failed = numberOf(total, "failures");
  // One suite per file; those within it, one per `describe`, are indented further.
  const files = [...report.matchAll(/^ {2}<testsuite\b[^>]*>/gm)].map(([suite]) => ({
    file: /\bfile="([^"]*)"/.exec(suite)?.[1] ?? "",
    seconds: numberOf(suite, "time"),
  }));
  return { passed: numberOf(total, "tests") - failed - numberOf(total, "skipped"), failed, times: files };
}

function numberOf(element: string, attribute: string): number {
  return Number(new RegExp(`\\b${attribute}="([\\d.]+)"`).exec(element)?.[1] ?? 0);
}
