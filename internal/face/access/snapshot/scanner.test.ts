import { expect, setDefaultTimeout, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { storeErrors } from "../../../platform/errors/store-errors.ts";
import { silentLog } from "../../../platform/testing/local-stores.ts";
import { compile } from "../../../tools/compile.ts";
import { anyVector, seededFractions, templateOf } from "../../shared/face-fixture.ts";
import { quantiseQuery } from "./quantise.ts";
import { createScanMemory } from "./scan-memory.ts";
import { createScanPages, type Scan } from "./scan-pages.ts";
import { createScanner } from "./scanner.ts";
import { createSlots } from "./slots.ts";

/** A binary is compiled. */
setDefaultTimeout(60_000);

const dimensions = 512;

/** A scan of so many rows, and a scanner that has begun. */
async function scanOf(rows: number, waitingMax = 64) {
  const fraction = seededFractions(rows);
  const memory = createScanMemory(64 * 1024 * 1024);
  const slots = createSlots(memory, dimensions);
  const template = templateOf(anyVector(fraction, dimensions));
  for (let row = 0; row < rows; row += 1) slots.write(template);
  const { values } = quantiseQuery(template);
  let refused = 0;
  const scanner = createScanner({ memory, waitingMax, log: silentLog, refused: () => void (refused += 1) });
  await scanner.start();
  const scan: Scan = { ...slots.layout(), values, k: 16 };
  return {
    scan,
    scanner,
    expected: createScanPages(memory.memory, "here")(scan),
    refused: () => refused,
    [Symbol.asyncDispose]: () => scanner.stop(),
  };
}

const { signal } = new AbortController();

test("a scan says the same in the thread and here", async () => {
  for (const rows of [100, 2500]) {
    await using scanning = await scanOf(rows);
    const { scanner, scan, expected } = scanning;
    expect(await scanner.scan(scan, signal)).toEqual(expected);
    expect(await Promise.all(Array.from({ length: 20 }, () => scanner.scan(scan, signal)))).toEqual(
      Array.from({ length: 20 }, () => expected),
    );
  }
});

test("more scans than may wait are refused, and counted", async () => {
  await using scanning = await scanOf(2500, 3);
  const { scanner, scan, expected, refused } = scanning;
  // Two are with the thread, three wait.
  const scans = await Promise.allSettled(Array.from({ length: 7 }, () => scanner.scan(scan, signal)));
  expect(scans.slice(0, 5).map((each) => each.status === "fulfilled" && each.value)).toEqual(
    Array.from({ length: 5 }, () => expected),
  );
  expect(scans.slice(5).map((each) => each.status === "rejected" && (each.reason as Error).message)).toEqual(
    Array.from({ length: 2 }, () => storeErrors.overloaded().message),
  );
  expect(refused()).toBe(2);
  expect(await scanner.scan(scan, signal)).toEqual(expected);
});

test("who goes away makes room for others", async () => {
  await using scanning = await scanOf(2500, 1);
  const { scanner, scan, expected } = scanning;
  const gone = new AbortController();
  const first = [scanner.scan(scan, signal), scanner.scan(scan, signal)];
  const waiting = scanner.scan(scan, gone.signal);
  gone.abort(new Error("gone"));
  const next = scanner.scan(scan, signal);
  expect(await waiting.catch(String)).toContain("gone");
  expect(await Promise.all([...first, next])).toEqual([expected, expected, expected]);
});

test("a thread that fails takes its scans with it, and another one begins", async () => {
  await using scanning = await scanOf(2500);
  const { scanner, scan, expected } = scanning;
  const broken = scanner.scan({ ...scan, k: 1e9 }, signal);
  expect(await broken.catch(String)).toContain("a scan finds at most");
  expect(await scanner.scan(scan, signal)).toEqual(expected);
});

test("whoever waits at the stop is told that there is nothing to be had", async () => {
  const { scanner, scan } = await scanOf(2500);
  const scans = Promise.allSettled(Array.from({ length: 4 }, () => scanner.scan(scan, signal)));
  await scanner.stop();
  await scanner.stop();
  expect((await scans).map(({ status }) => status)).toContain("rejected");
});

test("in a compiled binary, started where no sources are, a thread scans", async () => {
  const folder = await mkdtemp(join(tmpdir(), "muin-scan-"));
  await using stack = new AsyncDisposableStack();
  stack.defer(() => rm(folder, { recursive: true }));
  const outfile = join(folder, "scans");
  await compile({
    main: join(import.meta.dir, "testdata/threads/main.ts"),
    threads: [join(import.meta.dir, "scan-thread.ts")],
    outfile,
  });
  const child = Bun.spawn([outfile], { cwd: folder, env: {}, stdio: ["ignore", "pipe", "inherit"] });
  expect(await new Response(child.stdout).text()).toBe('"m1234"');
  expect(await child.exited).toBe(0);
});
