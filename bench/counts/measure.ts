import type { Latency } from "../harness/latency.ts";
import type { LoadResult } from "../harness/load.ts";
import { cpuMsOf } from "../harness/processes.ts";
import type { Subject } from "./subject.ts";

/** Time for the outbox to become as short as it was before the load. */
const drainMsMaxDefault = 5000;
/** How often its depth is asked for: often, as the waiting is part of the row. */
const drainPollMs = 2;
/** Between two equal readings of what is stored, after which nothing is under way any more. */
const settleMs = 50;

/** Sends load on a subject. */
export interface Sender {
  /** `undefined` for a sender that is started anew for each window and tells its CPU itself. */
  readonly pid: number | undefined;
  run(windowMs: number): Promise<LoadResult>;
  close(): Promise<void>;
}

/** One window of load on one subject. */
export interface Sample {
  /** Writes acknowledged. */
  readonly acknowledged: number;
  /** From the first call until all were answered and the outbox was no deeper than before. */
  readonly ms: number;
  /** Part of `ms` that was spent on waiting for the outbox. */
  readonly drainMs: number;
  readonly writesPerS: number;
  readonly latencyMs: Latency | undefined;
  /** CPU of each process in percent of one core, the sender as "client". */
  readonly cpuPercent: Readonly<Record<string, number>>;
  /** CPU of each process for one write, in microseconds. */
  readonly cpuUsPerWrite: Readonly<Record<string, number>>;
  /** Why the sample does not count; empty when it does. */
  readonly faults: readonly string[];
}

/** Loads a subject for `windowMs` and holds what it acknowledged against what it stored. */
export async function measure(
  subject: Subject,
  sender: Sender,
  windowMs: number,
  drainMsMax = drainMsMaxDefault,
): Promise<Sample> {
  const { outboxDepth, finished } = subject;
  const storedBefore = await subject.stored();
  const finishedBefore = await finished?.();
  const depthBefore = await outboxDepth?.();
  const processes = await subject.processes();
  const all = { ...processes, ...(sender.pid === undefined ? {} : { client: [sender.pid] }) };
  const cpuBefore = await cpuMsOf(all);

  const startedMs = performance.now();
  const result = await sender.run(windowMs);
  const faults: string[] = [];
  const drainStartedMs = performance.now();
  if (outboxDepth !== undefined && depthBefore !== undefined) {
    let depth = await outboxDepth();
    while (depth > depthBefore && performance.now() - drainStartedMs < drainMsMax) {
      await Bun.sleep(drainPollMs);
      depth = await outboxDepth();
    }
    if (depth > depthBefore) faults.push(`the outbox holds ${depth} entries, ${depthBefore} before`);
  }
  const endMs = performance.now();
  const cpuAfter = await cpuMsOf(all);
  const drainMs = outboxDepth === undefined ? 0 : endMs - drainStartedMs;
  // The sender's own window leaves out how long it took to be told and to answer.
  const ms = result.windowMs + drainMs;

  for (const [reason, count] of Object.entries(result.refused)) faults.push(`${count} x ${reason}`);
  const stored = (await storedAfter(subject, result)) - storedBefore;
  if (stored < result.acknowledged) faults.push(`${result.acknowledged} acknowledged, ${stored} stored: lost`);
  if (stored > result.acknowledged + result.cutOff) {
    faults.push(`${result.acknowledged} acknowledged, ${stored} stored: more than were sent`);
  }
  if (finished !== undefined && finishedBefore !== undefined) {
    for (const [code, count] of Object.entries(await finished())) {
      const calls = count - (finishedBefore[code] ?? 0);
      // A sender that stops in the middle of a call cancels it.
      if (calls > 0 && code !== "ok" && !(code === "canceled" && calls <= result.cutOff)) {
        faults.push(`${calls} calls ended with ${code} at the server`);
      }
    }
  }
  const cpuMs: Record<string, number> = {};
  for (const [name, after] of Object.entries(cpuAfter)) cpuMs[name] = after - (cpuBefore[name] ?? 0);
  if (result.senderCpuMs !== undefined) cpuMs["client"] = result.senderCpuMs;
  const perProcess = (of: (ms: number) => number): Record<string, number> =>
    Object.fromEntries(Object.entries(cpuMs).map(([name, used]) => [name, of(used)]));
  const wallMs = endMs - startedMs;
  return {
    acknowledged: result.acknowledged,
    ms,
    drainMs,
    writesPerS: (result.acknowledged * 1000) / ms,
    latencyMs: result.latencyMs,
    cpuPercent: perProcess((used) => (used * 100) / wallMs),
    cpuUsPerWrite: perProcess((used) => (used * 1000) / Math.max(1, result.acknowledged)),
    faults,
  };
}

/** What is stored once the calls that a sender left behind have ended too. */
export async function storedAfter(subject: Subject, { cutOff }: LoadResult): Promise<number> {
  let stored = await subject.stored();
  if (cutOff === 0) return stored;
  for (;;) {
    const before = stored;
    await Bun.sleep(settleMs);
    stored = await subject.stored();
    if (stored === before) return stored;
  }
}
