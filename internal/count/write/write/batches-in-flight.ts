import type { Clock } from "../../../platform/clock/clock.ts";
import type { Random } from "../../../platform/clock/random.ts";
import { MuinError } from "../../../platform/errors/muin-error.ts";
import { storeErrors } from "../../../platform/errors/store-errors.ts";
import type { RedisClient } from "../../../platform/redis/redis-store.ts";
import type { Logger } from "../../../platform/telemetry/logger.ts";
import type { Counter, Histogram } from "../../../platform/telemetry/metrics.ts";
import { isPassing, runBatch } from "./store-redis.ts";
import { countWriteErrors } from "../errors.ts";
import { batchKeys, decodeReply, type EncodedBatch, encodeBatch, encodeWrites } from "./batch.ts";
import { answerCall, refuseCall, type WriteCall } from "./call.ts";

/** A batch is sent again for so long, whatever its callers' deadlines; then its outcome is unknown for good. */
const resolveMsMax = 5000;

/** Bounds of the batches of a shard, and of what the store remembers for them. */
export interface BatchLimits {
  /** Most writes in a batch, 1 to 512. */
  readonly batchWritesMax: number;
  /** Most batches in flight per shard: what forms the batches. */
  readonly batchesInFlightMax: number;
  /** How long a request id is remembered at least, in milliseconds. */
  readonly requestWindowMs: number;
  /** Most request ids remembered per shard. */
  readonly requestIdsMax: number;
  /** Most of them that are one caller's, in percent. */
  readonly requestIdsPerCallerPercent: number;
  /** Most bytes in the outbox of a shard. */
  readonly outboxBytesMax: number;
  /** How long the store remembers a writer after its last use at least, in milliseconds. */
  readonly writerMemoryMs: number;
}

/** The shard and its store, and who hears of what becomes of calls. */
export interface BatchesInFlightOptions {
  readonly shard: number;
  readonly client: RedisClient;
  readonly limits: BatchLimits;
  readonly clock: Pick<Clock, "monotonic">;
  readonly random: Random;
  readonly log: Logger;
  readonly metrics: {
    /** Writes refused, by reason. */
    readonly refused: Counter<"reason">;
    /** Writes per batch. */
    readonly batchWrites: Histogram;
    /** Seconds from sending a batch to its answer. */
    readonly latency: Histogram;
  };
  /** Takes back calls of which it is certain that nothing was applied. */
  readonly putBack: (calls: readonly WriteCall[]) => void;
  /** Told after each batch that is in flight no more. */
  readonly onSettled: () => void;
}

/**
 * The batches of one shard that were sent and are not answered yet. Each carries the name of its writer and a sequence, under
 * which the store remembers its reply: sent again, it is answered and not applied again. So a batch whose answer was lost is
 * sent again until it is answered or 5 s have passed; its callers hear by their deadlines that the outcome is unknown, and the
 * batch goes on without them.
 */
export interface BatchesInFlight {
  /** Batches in flight. */
  readonly length: number;
  /** Whether a batch may go out now, while so many writes wait. */
  isOpenTo(waiting: number): boolean;
  /** Sends calls as one batch. */
  send(calls: readonly WriteCall[]): void;
  /** Answers the callers whose deadline has passed, and gives up what was sent too long ago. */
  expire(nowMs: number): void;
  /** Sends again what was cut off. Call it only while the store is connected. */
  resend(): void;
}

/** A batch that was sent at least once. */
interface Batch {
  readonly writerId: string;
  readonly calls: readonly WriteCall[];
  readonly length: number;
  readonly encoded: EncodedBatch;
  readonly firstSentMs: number;
  copies: number;
  /** The last copy ended without an answer. */
  isCutOff: boolean;
}

/** Creates the batches of a shard, none of them sent. */
export function createBatchesInFlight(options: BatchesInFlightOptions): BatchesInFlight {
  const { shard, client, limits, clock, random, log, metrics } = options;
  const requestBounds = requestBoundsOf(limits);
  /** A name that no store has heard of, with no batch sent under it. */
  const freshWriter = () => {
    const id = random.bytes(16).toHex();
    return { id, keys: batchKeys(shard, id), sequence: 0, isKnown: false };
  };
  let writer = freshWriter();
  /** In the order of their sequences. */
  let batches: Batch[] = [];
  /** Nothing is due before this. */
  let nextDeadlineMs = Number.POSITIVE_INFINITY;

  const settle = (batch: Batch): void => {
    batches = batches.filter((other) => other !== batch);
    options.onSettled();
  };
  const refuseAll = (batch: Batch, error: MuinError): void => {
    for (const call of batch.calls) refuseCall(call, error, metrics.refused);
  };

  const onReply = (batch: Batch, packed: Buffer): void => {
    if (!batches.includes(batch)) return; // Given up, or another copy was answered.
    const reply = decodeReply(packed, batch.length);
    if (reply.kind !== "unknown_writer" && writer.id === batch.writerId) writer.isKnown = true;
    switch (reply.kind) {
      case "done": {
        let from = 0;
        for (const call of batch.calls) {
          const to = from + call.writes.length;
          answerCall(call, batch.calls.length === 1 ? reply.outcomes : reply.outcomes.slice(from, to));
          from = to;
        }
        metrics.latency.observe((clock.monotonic() - batch.firstSentMs) / 1000);
        break;
      }
      case "outbox_full":
        refuseAll(batch, countWriteErrors.outboxFull());
        break;
      case "evicted":
        refuseAll(batch, countWriteErrors.outcomeUnknown());
        break;
      case "unknown_writer":
        if (writer.id === batch.writerId) writer = freshWriter();
        // When the only copy was refused, nothing was applied, and the writes may go under the new name.
        if (batch.copies === 1) options.putBack(batch.calls.filter((call) => !call.isAnswered));
        else refuseAll(batch, countWriteErrors.outcomeUnknown());
        break;
      default:
        reply satisfies never;
    }
    settle(batch);
  };

  const onError = (batch: Batch, error: unknown): void => {
    if (!batches.includes(batch)) return;
    if (isPassing(error)) {
      batch.isCutOff = true;
      return;
    }
    log.error("the counts store refused a batch", { shard, err: error });
    // A reply that is an error means that this copy did nothing. An earlier one may have.
    const failure = error instanceof MuinError ? error : storeErrors.unavailable({ cause: error });
    refuseAll(batch, batch.copies === 1 ? failure : countWriteErrors.outcomeUnknown());
    settle(batch);
  };

  const sendCopy = (batch: Batch): void => {
    batch.copies += 1;
    batch.isCutOff = false;
    runBatch(client, batch.encoded).then(
      (reply) => onReply(batch, reply),
      (error: unknown) => onError(batch, error),
    );
  };

  return {
    get length() {
      return batches.length;
    },
    // What waits goes out beside a batch in flight only when it is more than that batch: few writes then wait for each other in
    // one large batch and one fsync, instead of going round in two small ones.
    isOpenTo: (waiting) =>
      batches.length < limits.batchesInFlightMax &&
      batches.every(({ isCutOff, length }) => !isCutOff && waiting > Math.min(length, limits.batchWritesMax - 1)),
    send: (calls) => {
      const firstSentMs = clock.monotonic();
      let length = 0;
      let deadlineMs = firstSentMs + resolveMsMax;
      for (const call of calls) {
        length += call.writes.length;
        if (call.deadlineMs < deadlineMs) ({ deadlineMs } = call);
      }
      writer.sequence += 1;
      const header = {
        sequence: writer.sequence,
        begin: !writer.isKnown,
        slots: limits.batchesInFlightMax,
        memoryMs: limits.writerMemoryMs,
        ...requestBounds,
        outboxBytesMax: limits.outboxBytesMax,
      };
      const writes = calls.length === 1 ? (calls[0] as WriteCall).writes : calls.flatMap((call) => call.writes);
      const encoded = encodeBatch(writer.keys, header, encodeWrites(writes));
      const batch = { writerId: writer.id, calls, length, encoded, firstSentMs, copies: 0, isCutOff: false };
      batches.push(batch);
      nextDeadlineMs = Math.min(nextDeadlineMs, deadlineMs);
      metrics.batchWrites.observe(length);
      sendCopy(batch);
    },
    expire: (nowMs) => {
      if (nowMs < nextDeadlineMs) return;
      nextDeadlineMs = Number.POSITIVE_INFINITY;
      for (const batch of batches) {
        const endMs = batch.firstSentMs + resolveMsMax;
        for (const call of batch.calls) {
          if (call.isAnswered) continue;
          if (nowMs >= Math.min(endMs, call.deadlineMs))
            refuseCall(call, countWriteErrors.outcomeUnknown(), metrics.refused);
          else nextDeadlineMs = Math.min(nextDeadlineMs, call.deadlineMs);
        }
        if (nowMs >= endMs) settle(batch);
        else nextDeadlineMs = Math.min(nextDeadlineMs, endMs);
      }
    },
    resend: () => {
      for (const batch of batches) if (batch.isCutOff) sendCopy(batch);
    },
  };
}

/** What the store is told of request ids with each batch. */
function requestBoundsOf({ requestWindowMs, requestIdsMax, requestIdsPerCallerPercent }: BatchLimits) {
  const requestIdsPerCallerMax = Math.floor((requestIdsMax * requestIdsPerCallerPercent) / 100);
  return { requestWindowMs, requestIdsMax, requestIdsPerCallerMax };
}
