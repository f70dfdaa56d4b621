import type { Component } from "../../../platform/lifecycle/component.ts";
import type { Clock } from "../../../platform/clock/clock.ts";
import type { Random } from "../../../platform/clock/random.ts";
import { storeErrors } from "../../../platform/errors/store-errors.ts";
import type { RedisStore } from "../../../platform/redis/redis-store.ts";
import type { Logger } from "../../../platform/telemetry/logger.ts";
import type { Metrics } from "../../../platform/telemetry/metrics.ts";
import type { CountStoreLayout } from "../../shared/count-store.ts";
import { shardOf } from "../../shared/key-schema.ts";
import { type BatchesInFlight, type BatchLimits, createBatchesInFlight } from "./batches-in-flight.ts";
import { countWriteErrors } from "../errors.ts";
import { createLayoutSearch } from "./layout-search.ts";
import type { CountWrite, WriteOutcome } from "./batch.ts";
import { createWriteQueue, type WriteQueue, type WriteQueueLimits } from "./queue.ts";

/** How often deadlines are looked at and unanswered batches sent again. */
const tickMs = 20;

/** Bounds of the queues and batches of all shards. */
export interface CountWriterLimits extends WriteQueueLimits, BatchLimits {
  /** Shards of the store: recorded in it, never changed. 0: as many as it has, known once it has answered. */
  readonly shards: number;
}

/** The counts store and its bounds; time, chance, log and metrics. */
export interface CountWriterOptions {
  readonly store: RedisStore;
  readonly limits: CountWriterLimits;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly metrics: Metrics;
}

/**
 * Writes to Counts. Writes that wait are gathered per shard and applied by one script call per batch: one atomic step and one
 * fsync. `start` records the store's layout and rejects when the store was made with another number of shards; a store that is
 * away is waited for in the background. `stop` takes no more writes and waits for those taken.
 */
export interface CountWriter extends Component {
  /** Most writes that `write` takes at once. */
  readonly batchMax: number;
  /** The shard of a Count. Throws STORE_UNAVAILABLE while it is not known how many there are. */
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

/** A shard: what waits for it, and what is on the way. */
interface Shard {
  readonly queue: WriteQueue;
  readonly inFlight: BatchesInFlight;
  readonly labels: { readonly shard: string };
}

/** A writer that is not started: it refuses writes with SHUTTING_DOWN until it is. */
export function createCountWriter(options: CountWriterOptions): CountWriter {
  const { store, limits, clock, random, log } = options;
  const { client } = store;
  const { batchWritesMax: batchMax } = limits;
  const metrics = writerMetrics(options.metrics);
  let state: "new" | "running" | "draining" | "stopped" = "new";
  let isPumpDue = false;
  let ticking: Promise<void> | undefined;

  /** Sends what waits, once all that this turn of the event loop brings is there: an answered batch brings as many writes again. */
  const duePump = (): void => {
    if (isPumpDue) return;
    isPumpDue = true;
    setImmediate(() => {
      isPumpDue = false;
      if (client.status !== "ready" || search.layout() === undefined) return; // The tick looks again.
      // The batches of all shards in one piece: one system call here, and one fsync for all of them there.
      const { stream } = client;
      stream.cork();
      try {
        for (const { queue, inFlight } of shards) {
          while (queue.length > 0 && inFlight.isOpenTo(queue.length)) inFlight.send(queue.take(batchMax));
        }
      } finally {
        stream.uncork();
      }
    });
  };
  const createShards = (length: number): readonly Shard[] =>
    Array.from({ length }, (_, shard) => createShard(shard, options, metrics, duePump));
  let shards = createShards(limits.shards);
  const onFound = (layout: CountStoreLayout): void => {
    if (shards.length === 0) shards = createShards(layout.shards);
    duePump();
  };
  const search = createLayoutSearch({ store, shards: limits.shards, clock, random, log, onFound });

  const isIdle = (): boolean => shards.every(({ queue, inFlight }) => queue.length === 0 && inFlight.length === 0);
  /** Looks after what waits and what is on the way, until there is nothing of either. */
  const tick = async (): Promise<void> => {
    do {
      await clock.sleep(tickMs);
      const nowMs = clock.monotonic();
      for (const { queue, inFlight, labels } of shards) {
        inFlight.expire(nowMs);
        queue.expire(nowMs);
        if (client.status === "ready") inFlight.resend();
        metrics.inFlight.set(inFlight.length, labels);
        metrics.queued.set(queue.length, labels);
      }
      duePump();
    } while (!isIdle());
    ticking = undefined;
  };

  return {
    name: "count writer",
    batchMax,
    shardOf: (countId) => {
      if (shards.length === 0) throw storeErrors.unavailable({ cause: search.refusal() });
      return shardOf(countId, shards.length);
    },
    write: (shard, writes, deadlineMs) => {
      const own = shards[shard];
      if (own === undefined || writes.length === 0 || writes.length > batchMax) {
        throw new Error(`cannot write ${writes.length} writes to shard ${shard}`);
      }
      const refusal = search.refusal();
      if (state !== "running" || refusal !== undefined) {
        const error =
          state === "running" ? storeErrors.unavailable({ cause: refusal }) : countWriteErrors.shuttingDown();
        metrics.refused.add(writes.length, { reason: error.reason });
        return Promise.reject(error);
      }
      const outcomes = own.queue.add(writes, deadlineMs);
      duePump();
      ticking ??= tick();
      return outcomes;
    },
    layout: () => search.layout(),
    obstacle: () =>
      search.refusal() ??
      (search.layout() === undefined || client.status !== "ready" ? "the counts store is not reachable" : undefined),
    start: async () => {
      if (state !== "new") return;
      state = "running";
      await search.start();
    },
    stop: async () => {
      if (state === "stopped") return;
      state = "draining";
      await search.stop();
      await ticking;
      state = "stopped";
    },
  };
}

function createShard(
  shard: number,
  { store, limits, clock, random, log }: CountWriterOptions,
  metrics: WriterMetrics,
  onSettled: () => void,
): Shard {
  const queue = createWriteQueue({ limits, clock, refused: metrics.refused });
  const inFlight = createBatchesInFlight({
    shard,
    client: store.client,
    limits,
    clock,
    random,
    log,
    metrics,
    putBack: (calls) => queue.putBack(calls),
    onSettled,
  });
  return { queue, inFlight, labels: { shard: shard.toString() } };
}

type WriterMetrics = ReturnType<typeof writerMetrics>;

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
