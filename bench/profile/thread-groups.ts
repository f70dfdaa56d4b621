import { type CpuTime, type Processes, type ThreadTime, threadTimesOf } from "../harness/processes.ts";

/** Threads of Bun and its JavaScript engine by what they do. Others go by their own name, without the number at its end. */
const groups: readonly (readonly [name: RegExp, group: string])[] = [
  [/^JITWorker|^JSCWarmUp/, "compilers"],
  [/^HeapHelper|^JSC Heap/, "garbage collection"],
  [/^mi-scavenger/, "allocator"],
  [/^Worker/, "workers"],
];

/** CPU time of a kind of thread over a window. */
export interface GroupTime extends CpuTime {
  /** As a row of `counts` names it, such as "muin". */
  readonly process: string;
  /** What its threads do; "main thread" for the one that the process began with, which serves the calls. */
  readonly group: string;
}

/** Times of all threads of some processes at one moment. */
export type Snapshot = Readonly<Record<string, readonly ThreadTime[]>>;

/** Reads the times of all threads. */
export async function takeSnapshot(processes: Processes): Promise<Snapshot> {
  const entries = Object.entries(processes).map(
    async ([process, pids]) => [process, (await Promise.all(pids.map(threadTimesOf))).flat()] as const,
  );
  return Object.fromEntries(await Promise.all(entries));
}

/**
 * What each kind of thread used between two snapshots, by process, the busiest first. A thread that began in between counts from its
 * beginning; what one used that ended in between is not told.
 */
export function timesBetween(before: Snapshot, after: Snapshot): readonly GroupTime[] {
  return Object.entries(after).flatMap(([process, threads]) => {
    const known = new Map((before[process] ?? []).map((thread) => [thread.tid, thread]));
    const times = new Map<string, GroupTime>();
    for (const thread of threads) {
      const group = groupOf(thread);
      const { userMs, kernelMs } = known.get(thread.tid) ?? { userMs: 0, kernelMs: 0 };
      const so = times.get(group) ?? { process, group, userMs: 0, kernelMs: 0 };
      times.set(group, {
        ...so,
        userMs: so.userMs + thread.userMs - userMs,
        kernelMs: so.kernelMs + thread.kernelMs - kernelMs,
      });
    }
    return [...times.values()].toSorted((left, right) => totalOf(right) - totalOf(left));
  });
}

/** What the threads of a name do. */
export function groupOfName(name: string): string {
  return groups.find(([pattern]) => pattern.test(name))?.[1] ?? name.replace(/[\s_-]*\d+$/, "");
}

function groupOf({ pid, tid, name }: ThreadTime): string {
  return pid === tid ? "main thread" : groupOfName(name);
}

function totalOf({ userMs, kernelMs }: CpuTime): number {
  return userMs + kernelMs;
}
