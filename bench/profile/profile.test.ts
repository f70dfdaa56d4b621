import { describe, expect, test } from "bun:test";
import { eventually } from "../../internal/platform/testing/eventually.ts";
import { parseStat, type ThreadTime } from "../harness/processes.ts";
import { readReport } from "./perf.ts";
import { printProfiles, runProfiles } from "./profile.ts";
import { takeSnapshot, timesBetween } from "./thread-groups.ts";

test("times are read from the kernel's line, whatever the thread calls itself", () => {
  const line = "17 (a) (b c) S 1 17 17 0 -1 4194560 9 0 0 0 123 45 0 0 20 0 12 0 9 9 9";
  expect(parseStat(line)).toEqual({ name: "a) (b c", userMs: 1230, kernelMs: 450 });
});

describe("the times of a window", () => {
  test("are what threads of a kind used in it, the busiest kind first", () => {
    const before = { muin: [thread(1, "bun", 1000, 10), thread(2, "JITWorker", 500), thread(3, "Bun Pool 0", 7)] };
    const after = {
      muin: [
        thread(1, "bun", 1030, 15),
        thread(2, "JITWorker", 540),
        thread(3, "Bun Pool 0", 8),
        thread(4, "JITWorker", 20),
        thread(5, "Bun Pool 11", 2),
        thread(6, "HeapHelper", 5),
        thread(7, "Worker", 4),
      ],
    };
    expect(timesBetween(before, after)).toEqual([
      { process: "muin", group: "compilers", userMs: 60, kernelMs: 0 },
      { process: "muin", group: "main thread", userMs: 30, kernelMs: 5 },
      { process: "muin", group: "garbage collection", userMs: 5, kernelMs: 0 },
      { process: "muin", group: "workers", userMs: 4, kernelMs: 0 },
      { process: "muin", group: "Bun Pool", userMs: 3, kernelMs: 0 },
    ]);
  });

  test("of a process tell its threads apart", async () => {
    const script = `
      const spin = async () => {
        for (;;) {
          for (const endMs = Date.now() + 5; Date.now() < endMs; );
          await Bun.sleep(1);
        }
      };
      new Worker(URL.createObjectURL(new Blob(["(" + spin + ")()"], { type: "text/javascript" })));
      await spin();`;
    await using child = Bun.spawn([process.execPath, "-e", script], { stdio: ["ignore", "ignore", "inherit"] });
    const processes = { spinner: [child.pid] };
    const before = await takeSnapshot(processes);
    await eventually(async () => {
      const used = timesBetween(before, await takeSnapshot(processes));
      const msOf = (group: string): number => used.find((time) => time.group === group)?.userMs ?? 0;
      expect(Math.min(msOf("main thread"), msOf("workers"))).toBeGreaterThan(0);
    });
  });
});

test("perf's report becomes shares by kind of thread and code", () => {
  const report = `# To display the perf.data header info
 50.50%|bun.exe    |bun.exe
 20.00%|bun.exe    |[JIT] tid 17
 10.00%|bun.exe    |[kernel.kallsyms]
  9.00%|JITWorker  |bun.exe
  1.50%|JSCWarmUp  |bun.exe
  1.00%|bun.exe    |libc.so.6
`;
  expect(readReport(report, "bun.exe")).toEqual([
    { group: "main thread", code: "bun.exe", percent: 50.5 },
    { group: "main thread", code: "compiled JavaScript", percent: 20 },
    { group: "compilers", code: "bun.exe", percent: 10.5 },
    { group: "main thread", code: "kernel", percent: 10 },
    { group: "main thread", code: "libc.so.6", percent: 1 },
  ]);
});

test("a row is loaded, and the CPU time of a write told by process and thread", async () => {
  const [profile, ...others] = await runProfiles({
    wanted: /^connect-binary\/open\/64$/,
    windowMs: 1500, // Long enough for the ticks of every process on a busy machine.
    warmUpMs: 0,
    counts: 20,
    report: () => {},
  });
  expect(others).toEqual([]);
  expect(profile).toMatchObject({ row: "connect-binary/open/64", watched: "muin", faults: [] });
  expect(profile?.acknowledged).toBeGreaterThan(0);
  const mains = profile?.times.filter(({ group, userMs }) => group === "main thread" && userMs > 0);
  expect(mains?.map(({ process }) => process)).toEqual(expect.arrayContaining(["muin", "redis counts", "client"]));
  if (profile?.shares !== undefined) {
    expect(profile.shares.map(({ group }) => group)).toContain("main thread");
  }
  expect(printProfiles(profile === undefined ? [] : [profile])).toMatch(/^muin: main thread +\d+\.\d/m);
}, 120_000);

function thread(tid: number, name: string, userMs: number, kernelMs = 0): ThreadTime {
  return { pid: 1, tid, name, userMs, kernelMs };
}
