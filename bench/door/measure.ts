import { cpuMsOf, residentMiBOf } from "../harness/processes.ts";
import type { Row } from "./rows.ts";
import type { Answers, Subject } from "./subject.ts";

/** One window of load on one subject. */
export interface Sample extends Omit<Answers, "refused"> {
  readonly row: string;
  /** CPU of each process in percent of one core. */
  readonly cpuPercent: Readonly<Record<string, number>>;
  /** CPU of all of them for one call, in microseconds. */
  readonly cpuUsPerCall: number;
  /** Memory of each process at the end, in MiB. */
  readonly memoryMiB: Readonly<Record<string, number>>;
  /** Why the sample does not count; empty when it does. */
  readonly faults: readonly string[];
}

/** Loads a subject as a row says. */
export async function measure(row: Row, subject: Subject, windowMs: number): Promise<Sample> {
  const { id, faces, ratePerS, isExact } = row;
  const processes = await subject.processes();
  const before = await cpuMsOf(processes);
  const startedMs = performance.now();
  const { refused, ...answers } = await subject.run({ faces, ratePerS, windowMs });
  const tookMs = performance.now() - startedMs;
  const after = await cpuMsOf(processes);
  const memoryMiB = await residentMiBOf(processes);
  const faults = Object.entries(refused).map(([reason, count]) => `${count} x ${reason}`);
  if (isExact && answers.wrong > 0) faults.push(`${answers.wrong} wrong decisions`);
  const used = Object.entries(after).map(([name, ms]) => [name, ms - (before[name] ?? 0)] as const);
  const cpuPercent = Object.fromEntries(used.map(([name, ms]) => [name, (ms * 100) / tookMs]));
  const cpuUsPerCall = (used.reduce((sum, [, ms]) => sum + ms, 0) * 1000) / Math.max(1, answers.calls);
  return { row: id, ...answers, cpuPercent, cpuUsPerCall, memoryMiB, faults };
}
