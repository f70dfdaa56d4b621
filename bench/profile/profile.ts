import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { storedAfter } from "../counts/measure.ts";
import { rows as allRows, type Row } from "../counts/rows.ts";
import { openWorld, type World } from "../counts/world.ts";
import type { LoadResult } from "../harness/load.ts";
import { describeMachine, type Machine } from "../harness/machine.ts";
import type { Processes } from "../harness/processes.ts";
import { layOut } from "../harness/table.ts";
import { type CpuShare, recordPerf } from "./perf.ts";
import { type GroupTime, type Snapshot, takeSnapshot, timesBetween } from "./thread-groups.ts";

/** Rows of `bench counts` that are profiled unless others are named: each lane, at the most it takes and at a moderate rate. */
const rowsDefault =
  /^(connect-binary\/wrk|connect-binary\/open|connect-json\/open|rest\/open|grpc\/h2load|grpc\/h2load\/open|batch-write|writer)\/64$/;
/** Less of a write than this, in microseconds, is left out of a table. */
const usMin = 0.05;

/** How the profiles are taken. */
export interface ProfileOptions {
  /** Rows of `bench counts` by name; absent: one of each lane. */
  readonly wanted?: RegExp | undefined;
  readonly windowMs: number;
  /** Before each window: compilers still work after five seconds. */
  readonly warmUpMs: number;
  readonly counts: number;
  /** Told what is going on. */
  readonly report: (line: string) => void;
}

/** A row and where its CPU time went. */
export interface RowProfile {
  readonly row: string;
  readonly writesPerS: number;
  readonly acknowledged: number;
  readonly p99Ms: number | undefined;
  /** By process and kind of thread, from the kernel's own count. */
  readonly times: readonly GroupTime[];
  /** The process of Muin's own code. */
  readonly watched: "muin" | "client";
  /** Its CPU time by the code that ran, sampled; `undefined` where perf cannot be used. */
  readonly shares: readonly CpuShare[] | undefined;
  /** Why the row does not count; empty when it does. */
  readonly faults: readonly string[];
}

/** Profiles rows one after the other. CPU time alone is counted, never time on the wall: whoever waits is blamed for nothing. */
export async function runProfiles(options: ProfileOptions): Promise<readonly RowProfile[]> {
  const pattern = options.wanted ?? rowsDefault;
  const rows = allRows.filter(({ id, tool, needsGo, addedFsyncMs }) => {
    if (!pattern.test(id)) return false;
    // Peers and slow disks are for comparing.
    const isOwn = needsGo !== true && addedFsyncMs === 0;
    const isPossible = isOwn && (tool === undefined || Bun.which(tool) !== null);
    if (!isPossible) options.report(isOwn ? `skipped ${id}: ${tool} is not installed` : `skipped ${id}: not profiled`);
    return isPossible;
  });
  const folder = await mkdtemp(join(tmpdir(), "muin-profile-"));
  try {
    await using world = await openWorld(folder, { counts: options.counts, muinEnv: {}, generic: true });
    const profiles: RowProfile[] = [];
    for (const row of rows) {
      options.report(row.id);
      profiles.push(await profileRow(row, world, options));
    }
    return profiles;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function profileRow(row: Row, world: World, { windowMs, warmUpMs }: ProfileOptions): Promise<RowProfile> {
  const subject = row.subject(world);
  const sender = await row.open(world);
  try {
    if (warmUpMs > 0) await storedAfter(subject, await sender.run(warmUpMs));
    const all: Processes = {
      ...(await subject.processes()),
      ...(sender.pid === undefined ? {} : { client: [sender.pid] }),
    };
    const watched = "muin" in all ? "muin" : "client";
    const [pid] = all[watched] ?? [];
    const before = await takeSnapshot(all);
    const load = async (): Promise<{ readonly result: LoadResult; readonly after: Snapshot }> => {
      const result = await sender.run(windowMs);
      return { result, after: await takeSnapshot(all) };
    };
    const [{ result, after }, shares] = await Promise.all([
      load(),
      pid === undefined ? undefined : recordPerf(pid, windowMs, world.folder),
    ]);
    const times = timesBetween(before, after);
    return {
      row: row.id,
      writesPerS: (result.acknowledged * 1000) / result.windowMs,
      acknowledged: result.acknowledged,
      p99Ms: result.latencyMs?.p99,
      times,
      watched,
      shares,
      faults: Object.entries(result.refused).map(([reason, count]) => `${count} x ${reason}`),
    };
  } finally {
    await sender.close();
  }
}

/** Profiles as text, for a person. */
export function printProfiles(profiles: readonly RowProfile[], machine: Machine = describeMachine()): string {
  const { cores, cpu, memoryGiB, kernel, bun, load } = machine;
  return [
    `${cores} x ${cpu}, ${memoryGiB} GiB, Linux ${kernel}, Bun ${bun}, load average ${load}`,
    "CPU time of a write in microseconds: what the kernel counted by thread, and beside it what perf sampled by the code that ran",
    ...profiles.map(printRow),
  ].join("\n\n");
}

function printRow({ row, writesPerS, acknowledged, p99Ms, times, watched, shares, faults }: RowProfile): string {
  const usOf = (ms: number): number => (ms * 1000) / Math.max(1, acknowledged);
  const spell = (ms: number): string => usOf(ms).toFixed(1);
  const cells = times
    .filter(({ userMs, kernelMs }) => usOf(userMs + kernelMs) >= usMin)
    .map(({ process, group, userMs, kernelMs }) => [
      `${process}: ${group}`,
      spell(userMs + kernelMs),
      spell(userMs),
      spell(kernelMs),
    ]);
  const watchedMs = times
    .filter(({ process }) => process === watched)
    .reduce((sum, { userMs, kernelMs }) => sum + userMs + kernelMs, 0);
  const parts = (shares ?? [])
    .map(({ group, code, percent }) => [`${group}, ${code}`, (percent * usOf(watchedMs)) / 100] as const)
    .filter(([, us]) => us >= usMin)
    .map(([name, us]) => [name, us.toFixed(1)]);
  const p99 = p99Ms === undefined ? "" : `, p99 ${p99Ms.toFixed(1)} ms`;
  return [
    `# ${row}: ${(writesPerS / 1000).toFixed(1)} k writes/s${p99}`,
    ...faults.map((fault) => `INVALID: ${fault}`),
    layOut(["thread", "us/write", "user", "kernel"], cells),
    parts.length === 0 ? "no perf: the code that ran is not told" : layOut([`${watched}, by code`, "us/write"], parts),
  ].join("\n\n");
}
