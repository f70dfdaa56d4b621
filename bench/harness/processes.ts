import { readFile } from "node:fs/promises";

/** Clock ticks per second in /proc, the same on every Linux that Bun runs on (proc(5), USER_HZ). */
const ticksPerS = 100;

/** Process ids by the name that a row shows, such as "muin" or "redis counts". */
export type Processes = Readonly<Record<string, readonly number[]>>;

/** CPU time that each process has used so far, user and system, in milliseconds. A process that has ended counts nothing. */
export async function cpuMsOf(processes: Processes): Promise<Readonly<Record<string, number>>> {
  const entries = Object.entries(processes).map(async ([name, pids]) => {
    const times = await Promise.all(pids.map(cpuMsOfPid));
    return [name, times.reduce((sum, ms) => sum + ms, 0)] as const;
  });
  return Object.fromEntries(await Promise.all(entries));
}

async function cpuMsOfPid(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => undefined);
  if (stat === undefined) return 0;
  // The name in parentheses may hold anything; user and system time are fields 14 and 15, counted from 1.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return ((Number(fields[11]) + Number(fields[12])) * 1000) / ticksPerS;
}
