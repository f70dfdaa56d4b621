import { readdir, readFile } from "node:fs/promises";

/** Clock ticks per second in /proc, the same on every Linux that Bun runs on (proc(5), USER_HZ). */
const ticksPerS = 100;

/** Process ids by the name that a row shows, such as "muin" or "redis counts". */
export type Processes = Readonly<Record<string, readonly number[]>>;

/** CPU time that was used, in milliseconds. */
export interface CpuTime {
  readonly userMs: number;
  readonly kernelMs: number;
}

/** CPU time of a thread so far. */
export interface ThreadTime extends CpuTime {
  readonly pid: number;
  /** Equals `pid` for the main thread. */
  readonly tid: number;
  /** As the thread calls itself, at most 15 characters. */
  readonly name: string;
}

/** CPU time that each process has used so far, user and system, in milliseconds. A process that has ended counts nothing. */
export async function cpuMsOf(processes: Processes): Promise<Readonly<Record<string, number>>> {
  const entries = Object.entries(processes).map(async ([name, pids]) => {
    const times = await Promise.all(pids.map((pid) => readStat(`/proc/${pid}/stat`)));
    return [
      name,
      times.reduce((sum, time) => sum + (time === undefined ? 0 : time.userMs + time.kernelMs), 0),
    ] as const;
  });
  return Object.fromEntries(await Promise.all(entries));
}

/** Memory that each process holds now, in MiB; what processes share counts for each. A process that has ended counts nothing. */
export async function residentMiBOf(processes: Processes): Promise<Readonly<Record<string, number>>> {
  const entries = Object.entries(processes).map(async ([name, pids]) => {
    const sizes = await Promise.all(pids.map((pid) => readResidentKiB(pid)));
    return [name, Math.round(sizes.reduce((sum, size) => sum + size, 0) / 1024)] as const;
  });
  return Object.fromEntries(await Promise.all(entries));
}

async function readResidentKiB(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, "utf8").catch(() => "");
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1] ?? 0);
}

/** CPU time of each thread of a process so far; none of a process that has ended. */
export async function threadTimesOf(pid: number): Promise<readonly ThreadTime[]> {
  const tids = await readdir(`/proc/${pid}/task`).catch(() => []);
  const found = tids.map(async (tid) => {
    const stat = await readStat(`/proc/${pid}/task/${tid}/stat`);
    return stat === undefined ? [] : [{ pid, tid: Number(tid), ...stat }];
  });
  return (await Promise.all(found)).flat();
}

async function readStat(path: string): Promise<(CpuTime & { readonly name: string }) | undefined> {
  const stat = await readFile(path, "utf8").catch(() => undefined);
  return stat === undefined ? undefined : parseStat(stat);
}

/** Name and CPU time in the text of `/proc/<pid>/stat`, which a thread has too (proc(5)). */
export function parseStat(stat: string): CpuTime & { readonly name: string } {
  // The name in parentheses may hold anything; user and system time are fields 14 and 15, counted from 1.
  const nameEnd = stat.lastIndexOf(")");
  const fields = stat.slice(nameEnd + 2).split(" ");
  return { name: stat.slice(stat.indexOf("(") + 1, nameEnd), userMs: msOf(fields[11]), kernelMs: msOf(fields[12]) };
}

function msOf(ticks: string | undefined): number {
  return (Number(ticks) * 1000) / ticksPerS;
}
