import type { MuinError } from "../../../platform/errors/muin-error.ts";
import type { Counter } from "../../../platform/telemetry/metrics.ts";
import type { CountWrite, WriteOutcome } from "./batch.ts";

/** Writes that came in one call: they go into one batch, in order, and are answered together, once. */
export interface WriteCall {
  readonly writes: readonly CountWrite[];
  /** What they are counted for while they wait. */
  readonly bytes: number;
  /** When their caller must have an answer, on the clock's monotonic scale. */
  readonly deadlineMs: number;
  /** Sent by then, or not at all; at most `deadlineMs`. */
  readonly queueEndMs: number;
  readonly resolve: (outcomes: readonly WriteOutcome[]) => void;
  readonly reject: (error: MuinError) => void;
  /** Their caller has an answer. The batch that they are in may still be under way. */
  isAnswered: boolean;
}

/** Tells the caller what came of the writes, unless there was an answer before. */
export function answerCall(call: WriteCall, outcomes: readonly WriteOutcome[]): void {
  if (call.isAnswered) return;
  call.isAnswered = true;
  call.resolve(outcomes);
}

/** Tells the caller why there is no outcome, unless there was an answer before. */
export function refuseCall(call: WriteCall, error: MuinError, refused: Counter<"reason">): void {
  if (call.isAnswered) return;
  call.isAnswered = true;
  refused.add(call.writes.length, { reason: error.reason });
  call.reject(error);
}
