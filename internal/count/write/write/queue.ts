import type { Clock } from "../../../platform/clock/clock.ts";
import { storeErrors } from "../../../platform/errors/store-errors.ts";
import type { Counter } from "../../../platform/telemetry/metrics.ts";
import { countWriteErrors } from "../errors.ts";
import type { CountWrite, WriteOutcome } from "./batch.ts";
import { refuseGroup, type WriteGroup } from "./group.ts";

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

/** What a queue needs. */
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
  /** Removes the first groups, together at most `writesMax` writes or one group. Call it only when something waits. */
  take(writesMax: number): readonly WriteGroup[];
  /** Puts groups that were not sent after all before all that wait. */
  putBack(groups: readonly WriteGroup[]): void;
  /** Refuses what has waited until its deadline, or for too long, with `STORE_UNAVAILABLE`. */
  expire(nowMs: number): void;
}

/** Creates a queue. */
export function createWriteQueue({ limits, clock, refused }: WriteQueueOptions): WriteQueue {
  let groups: WriteGroup[] = [];
  let length = 0;
  let bytes = 0;
  /** Nothing that waits is to be refused before this. */
  let nextEndMs = Number.POSITIVE_INFINITY;

  const enter = (group: WriteGroup): void => {
    length += group.writes.length;
    bytes += group.bytes;
    if (group.queueEndMs < nextEndMs) nextEndMs = group.queueEndMs;
  };
  const leave = (group: WriteGroup): void => {
    length -= group.writes.length;
    bytes -= group.bytes;
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
      const group = { writes, bytes: ownBytes, deadlineMs, queueEndMs, resolve, reject, isAnswered: false };
      groups.push(group);
      enter(group);
      return promise;
    },
    take: (writesMax) => {
      const lengthBefore = length;
      let end = 0;
      for (const group of groups) {
        if (end > 0 && lengthBefore - length + group.writes.length > writesMax) break;
        leave(group);
        end += 1;
      }
      const taken = end === groups.length ? groups : groups.slice(0, end);
      groups = end === groups.length ? [] : groups.slice(end);
      return taken;
    },
    putBack: (unsent) => {
      groups = [...unsent, ...groups];
      for (const group of unsent) enter(group);
    },
    expire: (nowMs) => {
      if (nowMs < nextEndMs) return;
      const kept: WriteGroup[] = [];
      nextEndMs = Number.POSITIVE_INFINITY;
      for (const group of groups) {
        if (nowMs < group.queueEndMs) {
          kept.push(group);
          nextEndMs = Math.min(nextEndMs, group.queueEndMs);
        } else {
          leave(group);
          refuseGroup(group, storeErrors.unavailable(), refused);
        }
      }
      groups = kept;
    },
  };
}
