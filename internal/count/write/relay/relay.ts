import type { Random } from "../../../platform/clock/random.ts";
import type { Component } from "../../../platform/lifecycle/component.ts";
import { retry } from "../../../platform/lifecycle/retry.ts";
import type { Clock } from "../../../platform/clock/clock.ts";
import { FencedError, type Leases, type LeaseTerm } from "../../../platform/lease/leases.ts";
import type { EventPublisher, EventRecord } from "../../../platform/service/event-record.ts";
import type { OutboxView } from "../../../platform/service/outbox-view.ts";
import { cutOff } from "../../../platform/redis/open-redis.ts";
import type { RedisClient, RedisStore } from "../../../platform/redis/redis-store.ts";
import type { Logger } from "../../../platform/telemetry/logger.ts";
import type { Metrics } from "../../../platform/telemetry/metrics.ts";
import type { CountStoreLayout } from "../../shared/count-store.ts";
import { keysOf } from "../../shared/key-schema.ts";
import { recordOf } from "../events.ts";
import {
  type OutboxEntry,
  type OutboxState,
  readEntries,
  readOutboxState,
  trimEntries,
} from "../outbox/store-redis.ts";
import { createHeartbeat } from "./heartbeat.ts";

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
/** The same where one failure follows another. */
const retryPause = { minMs: retryMs, maxMs: 1000 };

/** The store with its outbox, and the bus that the outbox is emptied into. */
export interface OutboxRelayOptions {
  readonly store: RedisStore;
  /** The store's layout; undefined until it is known. */
  readonly layout: () => CountStoreLayout | undefined;
  readonly broker: EventPublisher;
  readonly leases: Pick<Leases, "leaseholder">;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly metrics: Metrics;
}

/**
 * Publishes every entry of the outbox in order per shard, in the one process that holds the lease, and trims it behind the
 * bus's acknowledgement. What was published and not yet trimmed is published again after a crash, with the same id. Beside
 * that it writes the heartbeat of the counts primary.
 */
export interface OutboxRelay extends Component, OutboxView {
  /** Reads what waits; nothing while the layout is not known. */
  read(): Promise<Awaited<ReturnType<OutboxView["read"]>> & OutboxState>;
}

/** A relay that holds no lease yet. */
export function createOutboxRelay(options: OutboxRelayOptions): OutboxRelay {
  const { store, broker, leases, clock, random, log } = options;
  const published = options.metrics.counter({
    name: "count_write_outbox_published_total",
    help: "Outbox entries that the bus acknowledged.",
  });
  const keepBeating = createHeartbeat(options);

  /** Repeats a step that is safe to repeat until it is done. Throws only when fenced or stopped. */
  const persist = (step: () => Promise<void>, failure: string, signal: AbortSignal): Promise<void> =>
    retry(step, {
      ...retryPause,
      clock,
      random,
      signal,
      isRetryable: (error) => !(error instanceof FencedError),
      onPause: (error) => log.warn(failure, { err: error }),
    });

  /** Publishes until the bus has acknowledged, then trims. Throws only when fenced or stopped. */
  const deliver = async (
    entries: readonly OutboxEntry[],
    records: EventRecord[],
    term: LeaseTerm,
    signal: AbortSignal,
  ) => {
    const refusal = "the event bus does not take changes of Counts; they wait";
    await persist(() => broker.publish(records, term), refusal, signal);
    published.add(entries.length);
    await persist(() => trimEntries(store, entries), "the outbox was not trimmed", signal);
  };

  const relay = async (layout: CountStoreLayout, term: LeaseTerm, signal: AbortSignal): Promise<void> => {
    const connection = store.dedicated();
    const end = (): void => cutOff(connection);
    signal.addEventListener("abort", end, { once: true });
    const keys = Array.from({ length: layout.shards }, (_, shard) => keysOf(shard).outbox);
    const countMax = Math.max(1, Math.floor(readEntriesMax / layout.shards));
    let after = keys.map(() => "0");
    let delivering: Promise<void> = Promise.resolve();
    try {
      while (!signal.aborted) {
        let entries: readonly OutboxEntry[];
        try {
          await untilReady(connection, signal);
          entries = await readEntries(connection, { keys, after, countMax, blockMs });
        } catch (error) {
          if (signal.aborted) break;
          log.warn("the outbox cannot be read", { err: error });
          await delivering;
          await clock.sleep(retryMs, signal);
          // From the beginning: a store that came back from a copy may have smaller entry ids.
          after = keys.map(() => "0");
          continue;
        }
        if (entries.length === 0) continue;
        // While one part is being published the next is read and made.
        const records = entries.map((entry) => recordOf(layout, entry));
        for (const entry of entries) after[entry.shard] = entry.id;
        await delivering;
        delivering = deliver(entries, records, term, signal);
        delivering.catch(() => undefined); // Heard at the next await of it.
        if (entries.length < countMax) await clock.sleep(roundPauseMs, signal).catch(() => undefined); // Ends the loop.
      }
      await delivering;
    } finally {
      signal.removeEventListener("abort", end);
      end();
    }
  };

  const holder = leases.leaseholder(lease, async (term, signal) => {
    const ended = new AbortController();
    const both = AbortSignal.any([signal, ended.signal]);
    let layout = options.layout();
    while (layout === undefined && !both.aborted) {
      await clock.sleep(retryMs, both);
      layout = options.layout();
    }
    if (layout === undefined) return;
    const beating = keepBeating(layout, both).catch(() => undefined); // Ends by being stopped.
    try {
      await relay(layout, term, both);
    } finally {
      ended.abort();
      await beating;
    }
  });
  return {
    name: "count-write outbox",
    start: () => holder.start(),
    stop: () => holder.stop(),
    read: () => readState(store, options.layout()),
    parked: () => Promise.resolve([]),
    redrive: () => Promise.resolve(0),
  };
}

async function readState(store: RedisStore, layout: CountStoreLayout | undefined) {
  const waiting = layout === undefined ? { depth: 0, ageMs: 0, bytes: 0 } : await readOutboxState(store, layout.shards);
  return { ...waiting, parked: 0 };
}

/** Resolves once the connection can be used, or `signal` is aborted. */
async function untilReady(connection: RedisClient, signal: AbortSignal): Promise<void> {
  if (connection.status === "ready" || signal.aborted) return;
  const { promise, resolve } = Promise.withResolvers<unknown>();
  connection.once("ready", resolve);
  signal.addEventListener("abort", resolve);
  await promise;
  connection.off("ready", resolve);
  signal.removeEventListener("abort", resolve);
}
