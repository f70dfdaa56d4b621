/** What a worker prints once a file's tests are over; on a line of its own, after the file's name. */
export const fileEnded = "\u{1}file ended";

/** A test, by its file and its full name. */
export interface NamedTest {
  readonly file: string;
  readonly name: string;
}

/** A test that failed, or a file that did not load, with everything that was said since the last test's end. */
export interface FailedTest {
  readonly file: string;
  readonly text: string;
}

/** What was seen in the output of `bun test`. */
export interface TestOutput {
  /** Takes a line, without its end. */
  line(line: string): void;
  /** Prints what is held back, and says what there was. */
  end(): SeenTests;
}

/** What the output said. */
export interface SeenTests {
  readonly failed: readonly FailedTest[];
  readonly skipped: readonly NamedTest[];
  /** Files that did not load, which no report counts. */
  readonly broken: number;
  /** Whether it ends as a run does that came to its end. */
  readonly isComplete: boolean;
  /** Whether no test had the name that was looked for. */
  readonly matchedNone: boolean;
  /** The file whose tests ran last. */
  readonly last: string;
}

/** Longer lines, such as one with a name made of a hostile input, are cut. */
const lineCharsMax = 1000;

const header = /^(\S.*\.test\.ts):$/;
const result = /^\((pass|fail|skip|todo)\) (.*?)(?: \[[\d.]+m?s\])?$/;
const crashed = /^✗ (\S+) \(worker crashed/;
/** Before the results that a run with some that failed or were skipped says again at its end. */
const repeated = /^\d+ tests? (failed|skipped|todo):$/;
const totals = /^Ran \d+ tests? across/;
const matchedNone = /^error: regex .* matched 0 tests/;
const brokenFile = "# Unhandled error between tests";

/**
 * Puts the output of `bun test` into the order of files. With several workers it comes in pieces, each under the name of its file: a
 * file is printed whole as soon as it has ended. With one worker lines are printed as they come. Totals, which are of this process
 * alone, are left out.
 */
export function createTestOutput(options: {
  readonly workers: number;
  readonly print: (line: string) => void;
}): TestOutput {
  const { workers, print } = options;
  const held = new Map<string, string[]>();
  const notes = createNotes();
  /** Whether the last line was empty. Before a file's name that is no part of a file. */
  let isEmptyBefore = false;
  let isComplete = false;
  let isRepeating = false;
  let hasMatchedNone = false;
  let last = "";
  /** Undefined after a file's end: what comes then are totals. */
  let file: string | undefined;
  /** The file that ended last. A worker may tell of its last test after its end. */
  let ended: string | undefined;
  /** What came since: of the last test where its result follows, of this process otherwise. */
  const unplaced: string[] = [];

  const release = (name: string): void => {
    const lines = held.get(name) ?? [];
    held.delete(name);
    if (lines.length === 0) return;
    print(`\n${name}:`);
    for (const line of lines) print(line);
  };
  const add = (name: string, line: string): void => {
    notes.line(name, line);
    if (workers === 1) {
      print(line);
      return;
    }
    const lines = held.get(name) ?? [];
    held.set(name, lines);
    lines.push(line);
  };

  return {
    line: (whole) => {
      const line = whole.length > lineCharsMax ? `${whole.slice(0, lineCharsMax)} ...` : whole;
      const emptyBefore = isEmptyBefore;
      isEmptyBefore = line === "";
      const [, named] = header.exec(line) ?? [];
      const [, lost] = crashed.exec(line) ?? [];
      if (named !== undefined) {
        // No totals stand before a file: what came was of the one that had ended.
        for (const late of unplaced.splice(0)) if (ended !== undefined) add(ended, late);
        if (workers === 1) print(`\n${named}:`);
        file = named;
        last = named;
      } else if (lost !== undefined) {
        print(line);
        notes.lost(lost, line);
        file = undefined;
      } else if (line === fileEnded) {
        if (file !== undefined) release(file);
        ended = file;
        file = undefined;
      } else if (file === undefined && ended !== undefined && result.test(line) && !isRepeating) {
        for (const late of [...unplaced.splice(0), line]) add(ended, late);
        release(ended);
      } else if (file === undefined) {
        if (line !== "") unplaced.push(line);
        isRepeating ||= repeated.test(line);
        isComplete ||= totals.test(line);
        hasMatchedNone ||= matchedNone.test(line);
      } else if (line !== "") {
        if (emptyBefore) add(file, "");
        add(file, line);
      }
    },
    end: () => {
      for (const name of held.keys()) release(name);
      return { ...notes.seen(), isComplete: isComplete || hasMatchedNone, matchedNone: hasMatchedNone, last };
    },
  };
}

/** What is remembered of the lines of each file. */
interface Notes {
  /** A line of a file. */
  line(file: string, line: string): void;
  /** The process of a file's tests ended, as the line says. */
  lost(file: string, line: string): void;
  seen(): Pick<SeenTests, "failed" | "skipped" | "broken">;
}

function createNotes(): Notes {
  const failed: FailedTest[] = [];
  const skipped: NamedTest[] = [];
  let broken = 0;
  /** Per file, what came since the last test's end. */
  const since = new Map<string, string[]>();
  const fail = (name: string, lines: readonly string[]): void => {
    failed.push({ file: name, text: lines.join("\n").trim() });
  };
  const take = (name: string, line: string): void => {
    const lines = since.get(name) ?? [];
    since.set(name, lines);
    const [, kind, test = ""] = result.exec(line) ?? [];
    if (kind !== undefined) since.delete(name);
    if (kind === "fail") fail(name, [...lines, line]);
    else if (kind === "skip" || kind === "todo") skipped.push({ file: name, name: test });
    else lines.push(line);
    // An error between tests stands between two rules.
    if (line.startsWith("-----") && lines.includes(brokenFile) && lines.filter((each) => each === line).length === 2) {
      broken += 1;
      fail(name, lines);
      since.delete(name);
    }
  };
  return {
    line: take,
    lost: (name, line) => fail(name, [...(since.get(name) ?? []), line]),
    seen: () => ({ failed, skipped, broken }),
  };
}
