import { createLatencyRecorder, type Latency } from "./latency.ts";

/** What a window of load came to, as its sender saw it. */
export interface LoadResult {
  /** Writes that were acknowledged. */
  readonly acknowledged: number;
  /** Answers other than an acknowledgement, by what they said. */
  readonly refused: Readonly<Record<string, number>>;
  /** Writes that were sent and whose answer was not waited for: they may have been applied. */
  readonly cutOff: number;
  readonly windowMs: number;
  /** From the intended start in open-loop load, else from sending. */
  readonly latencyMs: Latency | undefined;
  /** CPU of a sender in a process of its own that has ended since. */
  readonly senderCpuMs?: number;
}

/** Tells a sender to send for so long. */
export interface RunLoad {
  readonly windowMs: number;
}

/** Sends one call on behalf of a caller; resolves with the number of writes acknowledged. */
export type Send = (caller: number) => Promise<number>;

/**
 * Saturation: each caller sends its next call when the one before is answered. Ends when all are answered, so that nothing is
 * left in doubt.
 */
export async function closedLoop(callers: number, windowMs: number, send: Send): Promise<LoadResult> {
  const tally = createTally();
  const startedMs = performance.now();
  const endMs = startedMs + windowMs;
  const call = async (caller: number): Promise<void> => {
    for (let sentMs = startedMs; sentMs < endMs; sentMs = performance.now()) await tally.count(sentMs, send(caller));
  };
  await Promise.all(Array.from({ length: callers }, (_, caller) => call(caller)));
  return tally.result(performance.now() - startedMs);
}

/**
 * Open loop: call k is due at k / rate, whether or not earlier ones were answered, and its latency runs from when it was due:
 * a stall shows in every call that it held up. A call that finds all callers busy waits for one, and that waiting counts.
 * Calls are looked at every millisecond, which adds up to one to each latency.
 */
export async function openLoop(ratePerS: number, callers: number, windowMs: number, send: Send): Promise<LoadResult> {
  const tally = createTally();
  const free = Array.from({ length: callers }, (_, caller) => caller);
  const total = Math.max(1, Math.round((ratePerS * windowMs) / 1000));
  const startedMs = performance.now();
  const dueMs = (call: number): number => startedMs + (call * 1000) / ratePerS;
  const ended = Promise.withResolvers<void>();
  let next = 0;
  let answered = 0;
  const call = async (dueMs: number, caller: number): Promise<void> => {
    await tally.count(dueMs, send(caller));
    free.push(caller);
    answered += 1;
    if (answered === total) ended.resolve();
    else begin();
  };
  const begin = (): void => {
    for (const now = performance.now(); next < total && dueMs(next) <= now && free.length > 0; next += 1) {
      void call(dueMs(next), free.shift() as number); // Its failures are counted.
    }
  };
  const timer = setInterval(begin, 1);
  await ended.promise;
  clearInterval(timer);
  return tally.result(performance.now() - startedMs);
}

interface Tally {
  /** Never rejects: a failure is counted. */
  count(sinceMs: number, answer: Promise<number>): Promise<void>;
  result(windowMs: number): LoadResult;
}

function createTally(): Tally {
  const latency = createLatencyRecorder();
  const refused: Record<string, number> = {};
  let acknowledged = 0;
  return {
    count: async (sinceMs, answer) => {
      try {
        const writes = await answer;
        acknowledged += writes;
        latency.record(performance.now() - sinceMs);
      } catch (error) {
        const reason = error instanceof Error ? error.message.slice(0, 120) : String(error);
        refused[reason] = (refused[reason] ?? 0) + 1;
      }
    },
    result: (windowMs) => ({ acknowledged, refused, cutOff: 0, windowMs, latencyMs: latency.summary() }),
  };
}
