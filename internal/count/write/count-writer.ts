import type { Component } from "../../platform/app/component.ts";
import type { Clock } from "../../platform/clock/clock.ts";
import type { Random } from "../../platform/clock/random.ts";
import { MuinError } from "../../platform/errors/muin-error.ts";
import { storeUnavailable } from "../../platform/errors/store-error.ts";
import type { RedisStore } from "../../platform/redis/redis-store.ts";
import type { Logger } from "../../platform/telemetry/logger.ts";
import type { Metrics } from "../../platform/telemetry/metrics.ts";
import { type CountStoreLayout, recordLayout } from "../shared/count-store.ts";
import { shardOf } from "../shared/key-schema.ts";
import { createBatchRunner } from "./batch-script.ts";
import { outboxFull, outcomeUnknown, overloaded, shuttingDown } from "./errors.ts";
import {
  type BatchKeys,
  batchKeys,
  batchWritesMax,
  type CountWrite,
  decodeReply,
  type EncodedBatch,
  encodeBatch,
  encodeWrites,
  type WriteOutcome,
} from "./write-batch.ts";

/** A batch is sent again for so long, whatever its callers' deadlines; then its outcome is unknown for good. */
const resolveMsMax = 5000;
/** A write that was never sent waits for the store at most so long. */
const queueMsMax = 5000;
/** How often deadlines are looked at and unanswered batches sent again. */
const tickMs = 20;
/** Bytes that a queued write is counted for beside its texts. */
const writeOverheadBytes = 64;
/** Pause between attempts to learn the layout of a store that is away. */
const layoutRetryMs = 250;

/** The limits of a writer. */
export interface CountWriterLimits {
  /** Shards of the store: recorded in it, never changed. */
  readonly shards: number;
  /** Most writes in a batch, 1 to 512. */
  readonly batchWritesMax: number;
  /** Most batches in flight per shard: what forms the batches. */
  readonly batchesInFlightMax: number;
  /** Most writes that wait per shard. */
  readonly queueWritesMax: number;
  /** Most bytes that wait per shard. */
  readonly queueBytesMax: number;
  /** How long a request id is remembered at least, in milliseconds. */
  readonly requestWindowMs: number;
  /** Most request ids remembered per shard. */
  readonly requestIdsMax: number;
  /** Most bytes in the outbox of a shard. */
  readonly outboxBytesMax: number;
  /** How long the store remembers a writer after its last use at least, in milliseconds. */
  readonly writerMemoryMs: number;
}

/** What a writer needs. */
export interface CountWriterOptions {
  readonly store: RedisStore;
  readonly limits: CountWriterLimits;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly metrics: Metrics;
  /** Text of the batch script, for tests that break a rule of it on purpose. Default: the script. */
  readonly lua?: string;
}

/**
 * Writes to Counts. Writes that wait are gathered per shard and applied by one script call per batch: one atomic step and one
 * fsync. `start` records the store's layout and rejects when the store was made with another number of shards; a store that is
 * away is waited for in the background. `stop` takes no more writes and waits for those taken.
 */
export interface CountWriter extends Component {
  /** Most writes that `write` takes at once. */
  readonly batchMax: number;
  /** The shard of a Count. */
  shardOf(countId: string): number;
  /**
   * Applies up to `batchMax` writes of one shard, in order and in one atomic step, each with its own outcome. Resolves
   * once they are on disk and their events are stored. `deadlineMs` is on the clock's monotonic scale.
   *
   * Rejects for all of them alike: `OVERLOADED`, `OUTBOX_FULL`, `STORE_FULL`, `STORE_UNAVAILABLE` and `SHUTTING_DOWN` mean
   * that nothing was applied; `OUTCOME_UNKNOWN` that the deadline passed before the outcome could be learned.
   */
  write(shard: number, writes: readonly CountWrite[], deadlineMs: number): Promise<readonly WriteOutcome[]>;
  /** The store's layout; undefined until it is known. */
  layout(): CountStoreLayout | undefined;
  /** Why the writer cannot work, or `undefined`. */
  obstacle(): string | undefined;
}

/** Writes that are applied together and answered together. */
interface Group {
  readonly writes: readonly CountWrite[];
  readonly bytes: number;
  readonly deadlineMs: number;
  readonly queueEndMs: number;
  readonly resolve: (outcomes: readonly WriteOutcome[]) => void;
  readonly reject: (error: unknown) => void;
  /** Answered already: its batch may still be under way. */
  answered: boolean;
}

/** A batch that was sent at least once and is not answered yet. */
interface Batch {
  readonly writerId: string;
  readonly sequence: number;
  readonly groups: readonly Group[];
  readonly count: number;
  readonly encoded: EncodedBatch;
  readonly firstSentMs: number;
  copies: number;
  /** The last copy ended without an answer. */
  stalled: boolean;
}

/** What a writer keeps per shard. */
interface Lane {
  readonly shard: number;
  queue: Group[];
  queuedWrites: number;
  queuedBytes: number;
  /** In the order of their sequences. */
  inFlight: Batch[];
  writerId: string;
  /** What the script takes for this writer. */
  keys: BatchKeys;
  sequence: number;
  /** The store has answered this writer. */
  begun: boolean;
  /** No deadline of the lane lies before this. */
  nextDeadlineMs: number;
}

/** Creates a writer. */
export function createCountWriter(options: CountWriterOptions): CountWriter {
  const { store, limits, clock, random, log } = options;
  const { client } = store;
  const runBatch = createBatchRunner(options.lua);
  const metrics = writerMetrics(options.metrics);
  const batchMax = Math.min(limits.batchWritesMax, batchWritesMax);
  const freshWriter = (shard: number): Pick<Lane, "writerId" | "keys"> => {
    const writerId = random.bytes(16).toHex();
    return { writerId, keys: batchKeys(shard, writerId) };
  };
  const lanes: readonly Lane[] = Array.from({ length: limits.shards }, (_, shard) => ({
    shard,
    queue: [],
    queuedWrites: 0,
    queuedBytes: 0,
    inFlight: [],
    ...freshWriter(shard),
    sequence: 0,
    begun: false,
    nextDeadlineMs: Number.POSITIVE_INFINITY,
  }));
  /** What the store was found to be, or why it cannot be used with these settings. */
  const known: { layout: CountStoreLayout | undefined; refusal: string | undefined } = {
    layout: undefined,
    refusal: undefined,
  };
  let state: "new" | "running" | "draining" | "stopped" = "new";
  let isPumpDue = false;
  let ticking: Promise<void> | undefined;
  const halt = new AbortController();

  const isIdle = (): boolean => lanes.every((lane) => lane.queue.length === 0 && lane.inFlight.length === 0);

  const answer = (group: Group, outcome: readonly WriteOutcome[] | MuinError): void => {
    if (group.answered) return;
    group.answered = true;
    if (outcome instanceof MuinError) {
      metrics.refused.add(group.writes.length, { reason: outcome.reason });
      group.reject(outcome);
    } else {
      group.resolve(outcome);
    }
  };
  const failAll = (groups: readonly Group[], error: MuinError): void => {
    for (const group of groups) answer(group, error);
  };

  const settle = (lane: Lane, batch: Batch): void => {
    lane.inFlight = lane.inFlight.filter((other) => other !== batch);
    duePump();
  };

  const onReply = (lane: Lane, batch: Batch, packed: Buffer): void => {
    if (!lane.inFlight.includes(batch)) return; // Given up, or another copy was answered.
    const reply = decodeReply(packed, batch.count);
    if (reply.kind !== "unknown_writer" && lane.writerId === batch.writerId) lane.begun = true;
    switch (reply.kind) {
      case "done": {
        let from = 0;
        for (const group of batch.groups) {
          const to = from + group.writes.length;
          answer(group, batch.groups.length === 1 ? reply.outcomes : reply.outcomes.slice(from, to));
          from = to;
        }
        metrics.latency.observe((clock.monotonic() - batch.firstSentMs) / 1000);
        break;
      }
      case "outbox_full":
        failAll(batch.groups, outboxFull());
        break;
      case "evicted":
        failAll(batch.groups, outcomeUnknown());
        break;
      case "unknown_writer":
        if (lane.writerId === batch.writerId) {
          Object.assign(lane, freshWriter(lane.shard));
          lane.sequence = 0;
          lane.begun = false;
        }
        if (batch.copies === 1) {
          // The one copy was refused: nothing was applied, and the writes may go under the new name.
          const waiting = batch.groups.filter((group) => !group.answered);
          lane.queue = [...waiting, ...lane.queue];
          for (const group of waiting) {
            lane.queuedWrites += group.writes.length;
            lane.queuedBytes += group.bytes;
          }
        } else {
          failAll(batch.groups, outcomeUnknown());
        }
        break;
      default:
        reply satisfies never;
    }
    settle(lane, batch);
  };

  const onError = (lane: Lane, batch: Batch, error: unknown): void => {
    if (!lane.inFlight.includes(batch)) return;
    if (isPassing(error)) {
      batch.stalled = true;
      return; // The tick sends it again once the store is back.
    }
    log.error("the counts store refused a batch", { shard: lane.shard, err: error });
    // A reply that is an error means that this copy did nothing. An earlier one may have.
    const failure = error instanceof MuinError ? error : storeUnavailable(error);
    failAll(batch.groups, batch.copies === 1 ? failure : outcomeUnknown());
    settle(lane, batch);
  };

  const send = (lane: Lane, batch: Batch): void => {
    batch.copies += 1;
    batch.stalled = false;
    runBatch(client, batch.encoded).then(
      (reply) => onReply(lane, batch, reply),
      (error: unknown) => onError(lane, batch, error),
    );
  };

  /**
   * What waits goes out beside a batch in flight only when it is more than that batch: few writes then wait for each other in
   * one large batch and one fsync, instead of going round in two small ones.
   */
  const isWorthABatch = ({ inFlight, queuedWrites }: Lane): boolean =>
    inFlight.every((batch) => !batch.stalled && queuedWrites > Math.min(batch.count, batchMax - 1));

  const pump = (lane: Lane): void => {
    while (
      lane.queue.length > 0 &&
      lane.inFlight.length < limits.batchesInFlightMax &&
      known.layout !== undefined &&
      isWorthABatch(lane)
    ) {
      let taken = 0;
      let count = 0;
      for (const group of lane.queue) {
        if (count + group.writes.length > batchMax && count > 0) break;
        taken += 1;
        count += group.writes.length;
        lane.queuedBytes -= group.bytes;
      }
      const groups = taken === lane.queue.length ? lane.queue : lane.queue.slice(0, taken);
      lane.queue = taken === lane.queue.length ? [] : lane.queue.slice(taken);
      lane.queuedWrites -= count;
      lane.sequence += 1;
      const batch: Batch = {
        writerId: lane.writerId,
        sequence: lane.sequence,
        groups,
        count,
        encoded: encodeBatch(
          lane.keys,
          {
            sequence: lane.sequence,
            begin: !lane.begun,
            slots: limits.batchesInFlightMax,
            memoryMs: limits.writerMemoryMs,
            requestWindowMs: limits.requestWindowMs,
            requestIdsMax: limits.requestIdsMax,
            outboxBytesMax: limits.outboxBytesMax,
          },
          encodeWrites(groups.length === 1 ? (groups[0] as Group).writes : groups.flatMap((group) => group.writes)),
        ),
        firstSentMs: clock.monotonic(),
        copies: 0,
        stalled: false,
      };
      lane.inFlight.push(batch);
      metrics.batchWrites.observe(count);
      lane.nextDeadlineMs = Math.min(lane.nextDeadlineMs, batch.firstSentMs + resolveMsMax);
      send(lane, batch);
    }
  };
  /** Once all that this turn of the event loop brings has been queued: an answered batch brings as many writes again. */
  const duePump = (): void => {
    if (isPumpDue) return;
    isPumpDue = true;
    setImmediate(() => {
      isPumpDue = false;
      if (client.status !== "ready") return; // The tick looks again.
      // The batches of all shards in one piece: one system call here, and one fsync for all of them there.
      const { stream } = client;
      stream.cork();
      try {
        for (const lane of lanes) if (lane.queue.length > 0) pump(lane);
      } finally {
        stream.uncork();
      }
    });
  };

  /** Answers what has waited too long and sends again what was cut off. */
  const tend = (lane: Lane): void => {
    const now = clock.monotonic();
    if (now >= lane.nextDeadlineMs) {
      let next = Number.POSITIVE_INFINITY;
      for (const batch of lane.inFlight) {
        const isOver = now >= batch.firstSentMs + resolveMsMax;
        for (const group of batch.groups) {
          if (group.answered) continue;
          if (isOver || now >= group.deadlineMs) answer(group, outcomeUnknown());
          else next = Math.min(next, group.deadlineMs);
        }
        if (isOver) settle(lane, batch);
        else next = Math.min(next, batch.firstSentMs + resolveMsMax);
      }
      const kept: Group[] = [];
      for (const group of lane.queue) {
        if (now < group.queueEndMs) {
          kept.push(group);
          next = Math.min(next, group.queueEndMs);
        } else {
          lane.queuedWrites -= group.writes.length;
          lane.queuedBytes -= group.bytes;
          answer(group, storeUnavailable(undefined));
        }
      }
      lane.queue = kept;
      lane.nextDeadlineMs = next;
    }
    if (client.status === "ready") {
      // In the order of their sequences.
      for (const batch of lane.inFlight) if (batch.stalled) send(lane, batch);
      duePump();
    }
  };
  const tick = async (): Promise<void> => {
    while (!isIdle()) {
      await clock.sleep(tickMs);
      for (const lane of lanes) {
        tend(lane);
        const labels = { shard: lane.shard.toString() };
        metrics.inFlight.set(lane.inFlight.length, labels);
        metrics.queued.set(lane.queuedWrites, labels);
      }
    }
    ticking = undefined;
  };

  const learnLayout = async (): Promise<void> => {
    known.layout = await recordLayout(store, { shards: limits.shards, random });
    duePump();
  };
  const seekLayout = async (): Promise<void> => {
    while (!halt.signal.aborted && known.layout === undefined) {
      await clock.sleep(layoutRetryMs, halt.signal);
      try {
        await learnLayout();
      } catch (error) {
        if (error instanceof MuinError) continue;
        known.refusal = error instanceof Error ? error.message : String(error);
        log.error("the counts store does not fit the settings", { err: error });
        return;
      }
    }
  };

  return {
    name: "count writer",
    batchMax,
    shardOf: (countId) => shardOf(countId, limits.shards),
    write: (shard, writes, deadlineMs) => {
      const lane = lanes[shard];
      if (lane === undefined || writes.length === 0 || writes.length > batchMax) {
        throw new Error(`cannot write ${writes.length} writes to shard ${shard}`);
      }
      if (state !== "running" || known.refusal !== undefined) {
        const error = state === "running" ? storeUnavailable(known.refusal) : shuttingDown();
        metrics.refused.add(writes.length, { reason: error.reason });
        return Promise.reject(error);
      }
      let bytes = 0;
      for (const write of writes) bytes += write.countId.length + write.requestId.length + writeOverheadBytes;
      if (
        lane.queuedWrites + writes.length > limits.queueWritesMax ||
        lane.queuedBytes + bytes > limits.queueBytesMax
      ) {
        const error = overloaded();
        metrics.refused.add(writes.length, { reason: error.reason });
        return Promise.reject(error);
      }
      const { promise, resolve, reject } = Promise.withResolvers<readonly WriteOutcome[]>();
      const queueEndMs = Math.min(deadlineMs, clock.monotonic() + queueMsMax);
      lane.queue.push({ writes, bytes, deadlineMs, queueEndMs, resolve, reject, answered: false });
      lane.queuedWrites += writes.length;
      lane.queuedBytes += bytes;
      if (queueEndMs < lane.nextDeadlineMs) lane.nextDeadlineMs = queueEndMs;
      duePump();
      ticking ??= tick();
      return promise;
    },
    layout: () => known.layout,
    obstacle: () =>
      known.refusal ??
      (known.layout === undefined || client.status !== "ready" ? "the counts store is not reachable" : undefined),
    start: async () => {
      if (state !== "new") return;
      state = "running";
      try {
        await learnLayout();
      } catch (error) {
        if (!(error instanceof MuinError)) throw error;
        void seekLayout().catch(() => undefined); // Ends only by being stopped.
      }
    },
    stop: async () => {
      if (state === "stopped") return;
      state = "draining";
      halt.abort();
      await ticking;
      state = "stopped";
    },
  };
}

/** True when the store may answer the same batch later: the connection was cut, or the server is not ready to work. */
export function isPassing(error: unknown): boolean {
  if (!(error instanceof MuinError) || error.reason !== "STORE_UNAVAILABLE") return false;
  const { cause } = error;
  // An error that the server itself replied with is final, except while it loads its data or is kept busy.
  return !(cause instanceof Error) || cause.name !== "ReplyError" || /^(LOADING|BUSY|TRYAGAIN) /.test(cause.message);
}

function writerMetrics(metrics: Metrics) {
  return {
    batchWrites: metrics.histogram({
      name: "count_write_batch_writes",
      help: "Writes per batch.",
      buckets: [1, 2, 4, 8, 16, 32, 64, 128, 256, 512],
    }),
    latency: metrics.histogram({
      name: "count_write_batch_seconds",
      help: "Time from sending a batch to its answer.",
      buckets: [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1, 5],
    }),
    inFlight: metrics.gauge({
      name: "count_write_batches_in_flight",
      help: "Batches sent and not answered.",
      labels: ["shard"],
    }),
    queued: metrics.gauge({ name: "count_write_queued", help: "Writes that wait.", labels: ["shard"] }),
    refused: metrics.counter({
      name: "count_write_refused_total",
      help: "Writes refused as a whole batch, by reason.",
      labels: ["reason"],
    }),
  };
}
