import type { Redis } from "ioredis";
import type { Component } from "../../platform/app/component.ts";
import type { Clock } from "../../platform/clock/clock.ts";
import { type EventBus, type EventRecord, type Fence, FencedError } from "../../platform/events/event-bus.ts";
import { cutOff } from "../../platform/redis/open-redis.ts";
import type { RedisStore } from "../../platform/redis/redis-store.ts";
import { defineScript } from "../../platform/redis/script.ts";
import type { Logger } from "../../platform/telemetry/logger.ts";
import type { Metrics } from "../../platform/telemetry/metrics.ts";
import type { CountStoreLayout } from "../shared/count-store.ts";
import { keysOf } from "../shared/key-schema.ts";
import { metaPlace, outboxBytes, shardMetaLua } from "../shared/shard-meta.ts";
import { type OutboxEntry, recordOf } from "./events.ts";

/** The lease of the one relay that publishes. */
const lease = "count-write:outbox";
/** Entries read at once over all shards; one holds up to 512 changes. */
const readEntriesMax = 256;
/** A read waits at most so long for an entry. */
const blockMs = 1000;
/** Pause after a round that left nothing behind: each round costs an fsync in two stores, whatever it carries. */
const roundPauseMs = 10;
/** Pause after a failure, before the next attempt. */
const retryMs = 200;
/** The counts primary's heartbeat. */
const heartbeatMs = 100;
/** How often depth and bytes of the outbox are measured. */
const measureMs = 1000;

/** What a relay needs. */
export interface OutboxRelayOptions {
  readonly store: RedisStore;
  /** The store's layout; undefined until it is known. */
  readonly layout: () => CountStoreLayout | undefined;
  readonly bus: Pick<EventBus, "publish" | "leaseholder">;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
}

/** What waits in the outbox, over all shards. */
export interface OutboxState {
  /** Entries. */
  readonly depth: number;
  /** Age of the oldest entry in milliseconds, by the store's clock; 0 when there is none. */
  readonly ageMs: number;
  /** Bytes, as the bound counts them. */
  readonly bytes: number;
}

/**
 * Publishes every entry of the outbox in order per shard, in the one process that holds the lease, and trims it behind the
 * bus's acknowledgement. What was published and not yet trimmed is published again after a crash, with the same id. Beside
 * that it writes the heartbeat of the counts primary.
 */
export interface OutboxRelay extends Component {
  /** Reads what waits. */
  state(): Promise<OutboxState>;
}

/** Creates a relay. */
export function createOutboxRelay(options: OutboxRelayOptions): OutboxRelay {
  const { store, bus, clock, log } = options;
  const published = options.metrics.counter({
    name: "count_write_outbox_published_total",
    help: "Outbox entries that the bus acknowledged.",
  });
  const depth = options.metrics.gauge({ name: "count_write_outbox_entries", help: "Outbox entries that wait." });
  const bytes = options.metrics.gauge({ name: "count_write_outbox_bytes", help: "Bytes of the outbox that wait." });
  const age = options.metrics.gauge({
    name: "count_write_outbox_age_seconds",
    help: "Age of the oldest outbox entry.",
  });

  const state = async (): Promise<OutboxState> => {
    const layout = options.layout();
    if (layout === undefined) return { depth: 0, ageMs: 0, bytes: 0 };
    const pipeline = store.client.pipeline();
    pipeline.time();
    for (let shard = 0; shard < layout.shards; shard += 1) {
      const keys = keysOf(shard);
      pipeline.xlen(keys.outbox);
      pipeline.xrange(keys.outbox, "-", "+", "COUNT", 1);
      pipeline.getBuffer(keys.meta);
    }
    const replies = ((await pipeline.exec()) ?? []).map(([error, reply]) => {
      if (error !== null) throw error;
      return reply;
    });
    const [seconds] = replies[0] as [string | number];
    const total = { depth: 0, ageMs: 0, bytes: 0 };
    for (let place = 1; place < replies.length; place += 3) {
      const [oldest] = replies[place + 1] as [string, string[]][];
      total.depth += replies[place] as number;
      total.bytes += outboxBytes(replies[place + 2] as Buffer | null);
      if (oldest !== undefined) {
        total.ageMs = Math.max(total.ageMs, Number(seconds) * 1000 - Number(oldest[0].split("-")[0]));
      }
    }
    return total;
  };

  /** Publishes until the bus has acknowledged, then trims. Throws only when fenced or stopped. */
  const deliver = async (
    entries: readonly OutboxEntry[],
    records: EventRecord[],
    fence: Fence,
    signal: AbortSignal,
  ) => {
    for (;;) {
      try {
        await bus.publish(records, fence);
        break;
      } catch (error) {
        if (error instanceof FencedError) throw error;
        log.warn("the event bus does not take changes of Counts; they wait", { err: error });
        await clock.sleep(retryMs, signal);
      }
    }
    published.add(entries.length);
    // When it fails the entries are published again, under the same ids.
    await trim(store, entries).catch((error: unknown) => log.warn("the outbox was not trimmed", { err: error }));
  };

  const relay = async (layout: CountStoreLayout, fence: Fence, signal: AbortSignal): Promise<void> => {
    const connection = store.dedicated();
    const end = (): void => cutOff(connection);
    signal.addEventListener("abort", end, { once: true });
    const keys = Array.from({ length: layout.shards }, (_, shard) => keysOf(shard).outbox);
    const count = Math.max(1, Math.floor(readEntriesMax / layout.shards));
    let positions = keys.map(() => "0");
    let delivering: Promise<void> = Promise.resolve();
    try {
      while (!signal.aborted) {
        let entries: OutboxEntry[];
        try {
          await untilReady(connection, signal);
          const command = ["COUNT", count, "BLOCK", blockMs, "STREAMS", ...keys, ...positions] as const;
          entries = entriesOf(await connection.callBuffer("xread", ...command), keys);
        } catch (error) {
          if (signal.aborted) break;
          log.warn("the outbox cannot be read", { err: error });
          await delivering;
          await clock.sleep(retryMs, signal);
          // From the beginning: a store that came back from a copy may have smaller entry ids.
          positions = keys.map(() => "0");
          continue;
        }
        if (entries.length === 0) continue;
        // While one part is being published the next is read and made.
        const records = entries.map((entry) => recordOf(layout.storeId, entry));
        for (const entry of entries) positions[entry.shard] = entry.id;
        await delivering;
        delivering = deliver(entries, records, fence, signal);
        delivering.catch(() => undefined); // Heard at the next await of it.
        if (entries.length < count) await clock.sleep(roundPauseMs, signal).catch(() => undefined); // Ends the loop.
      }
      await delivering;
    } finally {
      signal.removeEventListener("abort", end);
      end();
    }
  };

  const beat = async (layout: CountStoreLayout, signal: AbortSignal): Promise<void> => {
    let measuredMs = Number.NEGATIVE_INFINITY;
    while (!signal.aborted) {
      try {
        await Promise.all(
          Array.from({ length: layout.shards }, (_, shard) =>
            heartbeatScript.run(store.client, [keysOf(shard).heartbeat], []),
          ),
        );
        if (clock.monotonic() - measuredMs >= measureMs) {
          measuredMs = clock.monotonic();
          const waiting = await state();
          depth.set(waiting.depth);
          bytes.set(waiting.bytes);
          age.set(waiting.ageMs / 1000);
        }
      } catch (error) {
        log.debug("no heartbeat was written", { err: error });
      }
      await clock.sleep(heartbeatMs, signal);
    }
  };

  const holder = bus.leaseholder(lease, async (fence, signal) => {
    const ended = new AbortController();
    const both = AbortSignal.any([signal, ended.signal]);
    let layout = options.layout();
    while (layout === undefined && !both.aborted) {
      await clock.sleep(retryMs, both);
      layout = options.layout();
    }
    if (layout === undefined) return;
    const beating = beat(layout, both).catch(() => undefined); // Ends by being stopped.
    try {
      await relay(layout, fence, both);
    } finally {
      ended.abort();
      await beating;
    }
  });
  return { name: "count-write outbox", start: () => holder.start(), stop: () => holder.stop(), state };
}

/** Resolves once the connection can be used, or `signal` is aborted. */
async function untilReady(connection: Redis, signal: AbortSignal): Promise<void> {
  if (connection.status === "ready" || signal.aborted) return;
  const { promise, resolve } = Promise.withResolvers<unknown>();
  connection.once("ready", resolve);
  signal.addEventListener("abort", resolve);
  await promise;
  connection.off("ready", resolve);
  signal.removeEventListener("abort", resolve);
}

/** Reads the reply of XREAD, fields as `batch-script.ts` names them. */
function entriesOf(reply: unknown, keys: readonly string[]): OutboxEntry[] {
  const entries: OutboxEntry[] = [];
  for (const [key, list] of (reply ?? []) as [Buffer, [Buffer, Buffer[]][]][]) {
    const shard = keys.indexOf(key.toString());
    for (const [id, [, asked, , requested, , packed, , position]] of list) {
      entries.push({
        shard,
        id: id.toString(),
        asked: asked as Buffer,
        requested: requested as Buffer,
        reply: packed as Buffer,
        position: (position as Buffer).readDoubleLE(0),
      });
    }
  }
  return entries;
}

/** Removes entries, and all before them, from the outbox of each shard. Safe to repeat, at any time. */
async function trim(store: RedisStore, entries: readonly OutboxEntry[]): Promise<void> {
  const last = new Map<number, OutboxEntry>();
  for (const entry of entries) last.set(entry.shard, entry);
  await Promise.all(
    [...last].map(([shard, { id, position }]) => {
      const keys = keysOf(shard);
      const [ms, sequence] = id.split("-");
      const first = `${ms}-${BigInt(sequence as string) + 1n}`;
      return trimScript.run(store.client, [keys.outbox, keys.meta], [first, position.toString()]);
    }),
  );
}

const trimScript = defineScript<number>({
  name: "trim-outbox",
  keys: 2,
  lua: `
local META = KEYS[2]
${shardMetaLua}
local position = tonumber(ARGV[2])
local removed = redis.call('XTRIM', KEYS[1], 'MINID', '=', ARGV[1])
if position > meta[${metaPlace.trimmed}] then
  meta[${metaPlace.trimmed}] = position
  save_meta()
end
return removed
`,
});

const heartbeatScript = defineScript<Buffer>({
  name: "heartbeat",
  keys: 1,
  lua: `
local clock = redis.call('TIME')
return redis.call('SET', KEYS[1], string.format('%.0f', clock[1] * 1000 + math.floor(clock[2] / 1000)))
`,
});
