import { join } from "node:path";
import { CountsChangedSchema } from "../../gen/muin/count/v1/count_value_events_pb.ts";
import { systemClock } from "../../platform/clock/clock.ts";
import { systemRandom } from "../../platform/clock/random.ts";
import type { TestBus } from "../../platform/events/contract/bus-fixture.ts";
import { connectBus } from "../../platform/events/redis/redis-broker-fixture.ts";
import { topicsOf } from "../../platform/events/topics.ts";
import { openRedis } from "../../platform/redis/open-redis.ts";
import type { RedisStore } from "../../platform/redis/redis-store.ts";
import type { Logger } from "../../platform/telemetry/logger.ts";
import { createMetrics } from "../../platform/telemetry/create-metrics.ts";
import type { HeldClock } from "../../platform/testing/held-clock.ts";
import { importMutant } from "../../platform/testing/mutant.ts";
import { type Bounds, type CountStates, createCountStates } from "../shared/count-states.ts";
import { keysOf } from "../shared/key-schema.ts";
import { unpackAsked, unpackReply } from "../shared/packed-writes.ts";
import { type CountWriter, type CountWriterLimits, createCountWriter } from "./write/writer.ts";
import type { CountWrite, WriteOutcome } from "./write/batch.ts";

/** Limits as in production. */
export const limits: CountWriterLimits = {
  shards: 4,
  batchWritesMax: 512,
  batchesInFlightMax: 2,
  queueWritesMax: 16_384,
  queueBytesMax: 8 * 1024 * 1024,
  requestWindowMs: 600_000,
  requestIdsMax: 1_000_000,
  requestIdsPerCallerPercent: 25,
  outboxBytesMax: 256 * 1024 * 1024,
  writerMemoryMs: 3_600_000,
};

/** Says nothing: what a test asserts, it sees from outside. */
export const silent: Logger = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
  child: () => silent,
};

/** A writer with the store behind it. */
export interface CountFixture extends AsyncDisposable {
  readonly store: RedisStore;
  readonly writer: CountWriter;
  readonly states: CountStates;
  /** Makes Counts of value 0. */
  seed(...countIds: readonly string[]): Promise<void>;
  /** Writes to one shard. */
  write(writes: readonly CountWrite[], timeoutMs?: number): Promise<readonly WriteOutcome[]>;
  /** Every change in the outbox, per shard in order. */
  outbox(): Promise<readonly (OutboxChange & { readonly timeMs: number })[]>;
}

/** Makes a writer. */
export type CreateWriter = typeof createCountWriter;

/** What a test wants of its writer. */
export interface CountFixtureOptions {
  readonly limits?: Partial<CountWriterLimits>;
  /** Let run again when the fixture is disposed of. */
  readonly clock?: HeldClock;
  /** The writer with a rule broken on purpose. */
  readonly createWriter?: CreateWriter | undefined;
  /** What management does to the state of Counts, with a rule broken on purpose. */
  readonly createStates?: typeof createCountStates | undefined;
}

/** Opens a writer on the Redis at `url`. */
export async function openCounts(url: string, options: CountFixtureOptions = {}): Promise<CountFixture> {
  const store = openRedis({ url, name: "test" });
  await store.start();
  const all = { ...limits, ...options.limits };
  const clock = options.clock ?? systemClock;
  const writer = (options.createWriter ?? createCountWriter)({
    store,
    limits: all,
    clock,
    random: systemRandom,
    log: silent,
    metrics: createMetrics(),
  });
  try {
    await writer.start();
  } catch (error) {
    await store.stop();
    throw error;
  }
  const states = (options.createStates ?? createCountStates)(store, all);
  return {
    store,
    writer,
    states,
    seed: async (...countIds) => {
      await Promise.all(countIds.map((countId) => createActive(states, { countId, initialValue: 0 })));
    },
    write: (writes, timeoutMs = 10_000) =>
      writer.write(writer.shardOf((writes[0] as CountWrite).countId), writes, clock.monotonic() + timeoutMs),
    outbox: async () => {
      const changes: (OutboxChange & { readonly timeMs: number })[] = [];
      for (let shard = 0; shard < all.shards; shard += 1) {
        const entries = await store.client.xrangeBuffer(keysOf(shard).outbox, "-", "+");
        for (const [, [, asked, , requested, , reply]] of entries) {
          const entry = decodeOutboxEntry(asked as Buffer, requested as Buffer, reply as Buffer);
          for (const change of entry.changes) changes.push(Object.assign({ timeMs: entry.timeMs }, change));
        }
      }
      return changes;
    },
    [Symbol.asyncDispose]: async () => {
      options.clock?.release();
      await writer.stop();
      await store.stop();
    },
  };
}

/** Makes a Count as count-management does, at info revision 1. */
export async function createActive(
  states: CountStates,
  count: { readonly countId: string; readonly initialValue: number } & Bounds,
): Promise<void> {
  await states.create({ ...count, infoRevision: 1 });
  await states.activate({ countId: count.countId, infoRevision: 1 });
}

/** An addition; without a request id unless one is given. */
export function add(countId: string, operand: number, requestId = "", principal = "api_key:one"): CountWrite {
  return { countId, kind: "a", operand, requestId, principal };
}

/** A Set. */
export function set(countId: string, operand: number, requestId = "", principal = "api_key:one"): CountWrite {
  return { countId, kind: "s", operand, requestId, principal };
}

/** The writer with one rule broken in one of its files, the batch script unless another is named. */
export async function brokenWriter(rule: string, instead: string, file = "store-redis.ts"): Promise<CreateWriter> {
  const folder = join(import.meta.dir, "write");
  const mutant = await importMutant<{ readonly createCountWriter: CreateWriter }>(join(folder, file), rule, instead, [
    join(folder, "writer.ts"),
  ]);
  return mutant.createCountWriter;
}

/** A bus for changes of Counts on the Redis at `url`. */
export function openBus(url: string, instance: string): TestBus {
  return connectBus(url, { instance, topics: topicsOf([CountsChangedSchema]) });
}

/** One applied write, as an outbox entry holds it. */
interface OutboxChange {
  readonly countId: string;
  /** By how much the value changed; up to +-(2^54 - 2), hence not a number. */
  readonly delta: bigint;
  readonly value: number;
  readonly revision: number;
  readonly requestId: string;
}

/** Reads the packed fields of an outbox entry: what was asked, the request ids, and the reply. */
function decodeOutboxEntry(
  asked: Buffer,
  requested: Buffer,
  reply: Buffer,
): { readonly timeMs: number; readonly changes: readonly OutboxChange[] } {
  const { countIds, places, kinds, operands } = unpackAsked(asked);
  const requestIds = requested.toString("latin1").split("\n");
  const packed = unpackReply(reply, kinds.length);
  const { timeMs, codes } = packed;
  const changes: OutboxChange[] = [];
  let nextSet = 0;
  for (let place = 0; place < kinds.length; place += 1) {
    if (codes !== "" && codes[place] !== "0") continue;
    const value = packed.valueOf(place);
    let delta = 0n;
    if (kinds[place] === "a" || kinds[place] === "A") {
      delta = BigInt(operands[place] as number);
    } else {
      delta = BigInt(value) - BigInt(packed.valueBefore(nextSet));
      nextSet += 1;
    }
    changes.push({
      countId: countIds[(places[place] as number) - 1] as string,
      delta,
      value,
      revision: packed.revisionOf(place),
      requestId: requestIds[place] ?? "",
    });
  }
  return { timeMs, changes };
}
