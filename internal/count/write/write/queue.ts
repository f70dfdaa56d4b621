import type { Clock } from "../../../platform/clock/clock.ts";
import { storeErrors } from "../../../platform/errors/store-errors.ts";
import type { Counter } from "../../../platform/telemetry/metrics.ts";
import { countWriteErrors } from "../errors.ts";
import type { CountWrite, WriteOutcome } from "./batch.ts";
import { refuseCall, type WriteCall } from "./call.ts";

/** A write that was never sent waits for the store at most so long. */
const queueMsMax = 5000;
/** Bytes that a write is counted for beside its texts. */
const writeOverheadBytes = 64;

/** The bounds of a queue. */
export interface WriteQueueLimits {
  /** Most writes that wait per shard. */
  readonly queueWritesMax: number;
  /** Most bytes that wait per shard. */
  readonly queueBytesMax: number;
}

/** Bounds, time, and what counts refusals. */
export interface WriteQueueOptions {
  readonly limits: WriteQueueLimits;
  readonly clock: Pick<Clock, "monotonic">;
  /** Writes refused, by reason. */
  readonly refused: Counter<"reason">;
}

/** Writes of one shard that wait to be sent: first come, first served, within bounds of number, size and time. */
export interface WriteQueue {
  /** Writes that wait. */
  readonly length: number;
  /**
   * Takes writes in, together; settles as `CountWriter.write` says. Rejects at once with `OVERLOADED` when they would pass the
   * bounds.
   */
  add(writes: readonly CountWrite[], deadlineMs: number): Promise<readonly WriteOutcome[]>;
  /** Removes the first calls, together at most `writesMax` writes or one call. Call it only when something waits. */
  take(writesMax: number): readonly WriteCall[];
  /** Puts calls that were not sent after all before all that wait. */
  putBack(calls: readonly WriteCall[]): void;
  /** Refuses what has waited until its deadline, or for too long, with `STORE_UNAVAILABLE`. */
  expire(nowMs: number): void;
}

/** An empty queue. */
export function createWriteQueue({ limits, clock, refused }: WriteQueueOptions): WriteQueue {
  let calls: WriteCall[] = [];
  let length = 0;
  let bytes = 0;
  /** Nothing that waits is to be refused before this. */
  let nextEndMs = Number.POSITIVE_INFINITY;

  const enter = (call: WriteCall): void => {
    length += call.writes.length;
    bytes += call.bytes;
    if (call.queueEndMs < nextEndMs) nextEndMs = call.queueEndMs;
  };
  const leave = (call: WriteCall): void => {
    length -= call.writes.length;
    bytes -= call.bytes;
  };

  return {
    get length() {
      return length;
    },
    add: (writes, deadlineMs) => {
      let ownBytes = 0;
      for (const write of writes) ownBytes += write.countId.length + write.requestId.length + writeOverheadBytes;
      if (length + writes.length > limits.queueWritesMax || bytes + ownBytes > limits.queueBytesMax) {
        const error = countWriteErrors.overloaded();
        refused.add(writes.length, { reason: error.reason });
        return Promise.reject(error);
      }
      const { promise, resolve, reject } = Promise.withResolvers<readonly WriteOutcome[]>();
      const queueEndMs = Math.min(deadlineMs, clock.monotonic() + queueMsMax);
      const call = { writes, bytes: ownBytes, deadlineMs, queueEndMs, resolve, reject, isAnswered: false };
      calls.push(call);
      enter(call);
      return promise;
    },
    take: (writesMax) => {
      const lengthBefore = length;
      let end = 0;
      for (const call of calls) {
        if (end > 0 && lengthBefore - length + call.writes.length > writesMax) break;
        leave(call);
        end += 1;
      }
      const taken = end === calls.length ? calls : calls.slice(0, end);
      calls = end === calls.length ? [] : calls.slice(end);
      return taken;
    },
    putBack: (unsent) => {
      calls = [...unsent, ...calls];
      for (const call of unsent) enter(call);
    },
    expire: (nowMs) => {
      if (nowMs < nextEndMs) return;
      const kept: WriteCall[] = [];
      nextEndMs = Number.POSITIVE_INFINITY;
      for (const call of calls) {
        if (nowMs < call.queueEndMs) {
          kept.push(call);
          nextEndMs = Math.min(nextEndMs, call.queueEndMs);
        } else {
          leave(call);
          refuseCall(call, storeErrors.unavailable(), refused);
        }
      }
      calls = kept;
    },
  };
}
