import { basename, join } from "node:path";
import { groupOfName } from "./thread-groups.ts";

/** Samples a second and thread: no divisor of the kernel's own ticks. */
const samplesPerS = 499;

/** A share of the CPU time of a process. */
export interface CpuShare {
  readonly group: string;
  /** The code that ran: "kernel", "compiled JavaScript", or a binary, such as "bun.exe" for the engine itself. */
  readonly code: string;
  readonly percent: number;
}

/** Watches a process by `perf` for a window; says where its CPU time went, by kind of thread. `undefined` where perf cannot be used. */
export async function recordPerf(
  pid: number,
  windowMs: number,
  folder: string,
): Promise<readonly CpuShare[] | undefined> {
  const perf = Bun.which("perf");
  if (perf === null) return undefined;
  const file = join(folder, "perf.data");
  const record = [perf, "record", "--freq", `${samplesPerS}`, "--pid", `${pid}`, "--output", file];
  const recorded = await run([...record, "--", "sleep", `${windowMs / 1000}`]);
  const report = [perf, "report", "--input", file, "--stdio", "--no-children", "--field-separator", "|"];
  const text = recorded === undefined ? undefined : await run([...report, "--sort", "comm,dso"]);
  if (text === undefined) return undefined;
  const mainName = (await Bun.file(`/proc/${pid}/comm`).text()).trim();
  return readReport(text, mainName);
}

/** Reads perf's report with the fields percent, thread's name and binary, separated by "|"; `mainName` is the main thread's. */
export function readReport(text: string, mainName: string): readonly CpuShare[] {
  const shares = new Map<string, CpuShare>();
  for (const line of text.split("\n")) {
    const [, percent, name, binary] = /^\s*([\d.]+)%\s*\|(.*)\|(.*)$/.exec(line) ?? [];
    if (percent === undefined || name === undefined || binary === undefined) continue;
    const group = name.trim() === mainName ? "main thread" : groupOfName(name.trim());
    const code = codeOf(binary.trim());
    const key = `${group} ${code}`;
    shares.set(key, { group, code, percent: (shares.get(key)?.percent ?? 0) + Number(percent) });
  }
  return [...shares.values()].toSorted((left, right) => right.percent - left.percent);
}

function codeOf(binary: string): string {
  if (/^\[(guest\.)?kernel/.test(binary)) return "kernel";
  // What belongs to no file was compiled at run time.
  if (binary === "[unknown]" || /^(\[JIT\]|\/\/anon|anon)/.test(binary)) return "compiled JavaScript";
  return basename(binary);
}

/** What a program printed; `undefined` when it failed. */
async function run(command: readonly string[]): Promise<string | undefined> {
  const child = Bun.spawn([...command], { stdin: "ignore", stdout: "pipe", stderr: "ignore" });
  const text = await new Response(child.stdout).text();
  return (await child.exited) === 0 ? text : undefined;
}
