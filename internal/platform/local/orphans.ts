import { realpath } from "node:fs/promises";
import type { Clock } from "../clock/clock.ts";
import type { Logger } from "../telemetry/logger.ts";
import { exists } from "./files.ts";
import { listProcesses, type ProcessFacts } from "./processes.ts";

/** An orphaned process gets the signal so often, since Redis forgets one at times, and so long to end each time; then SIGKILL. */
const signalsMax = 5;
const endMsMax = 2000;
const killMsMax = 5000;
const pollMs = 20;

/**
 * Ends orphaned servers of an earlier run in a data folder, and resolves when none is left: two servers on the same files
 * would destroy them. A process is such a server when its working directory is `folder` and the program it runs has one of the
 * names `programs`; that holds whatever became of pid files, and never for a stranger with a reused pid. `signal` asks for a
 * clean end. Returns how many there were.
 */
export async function endOrphans(options: {
  readonly folder: string;
  readonly programs: readonly string[];
  readonly signal: NodeJS.Signals;
  readonly clock: Clock;
  readonly log: Logger;
}): Promise<number> {
  const { programs, clock, log } = options;
  if (!(await exists(options.folder))) return 0;
  const folder = await realpath(options.folder); // As the kernel names it: the path given may go through links.
  const found = await find(folder, programs);
  if (found.length === 0) return 0;
  const pids = new Set(found.map((facts) => facts.pid));
  const roots = found.filter((facts) => !pids.has(facts.parent));
  log.warn("a server of an earlier run is still there and is ended", { folder, pids: roots.map(({ pid }) => pid) });
  for (let signals = 0; signals < signalsMax; signals += 1) {
    for (const { pid } of roots) {
      send(pid, "SIGCONT"); // One that was halted would not see the next signal.
      send(pid, options.signal);
    }
    if (await gone(folder, programs, clock, endMsMax)) return found.length;
  }
  for (const { pid } of await find(folder, programs)) send(pid, "SIGKILL");
  if (await gone(folder, programs, clock, killMsMax)) return found.length;
  throw new Error(`a server of an earlier run in ${folder} does not end (process ${[...pids].join(", ")})`);
}

async function gone(folder: string, programs: readonly string[], clock: Clock, ms: number): Promise<boolean> {
  const endAt = clock.monotonic() + ms;
  while ((await find(folder, programs)).length > 0) {
    if (clock.monotonic() > endAt) return false;
    await clock.sleep(pollMs);
  }
  return true;
}

async function find(folder: string, programs: readonly string[]): Promise<readonly ProcessFacts[]> {
  return (await listProcesses()).filter((process) => process.folder === folder && programs.includes(process.program));
}

function send(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "ESRCH")) throw error; // It ended by itself.
  }
}
