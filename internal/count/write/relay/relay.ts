import type { Random } from "../../../platform/clock/random.ts";
import type { Component } from "../../../platform/lifecycle/component.ts";
import type { Clock } from "../../../platform/clock/clock.ts";
import type { Leases, LeaseTerm } from "../../../platform/lease/leases.ts";
import type { EventPublisher } from "../../../platform/service/event-record.ts";
import type { OutboxView } from "../../../platform/service/outbox-view.ts";
import { cutOff } from "../../../platform/redis/open-redis.ts";
import type { RedisClient, RedisStore } from "../../../platform/redis/redis-store.ts";
import type { Logger } from "../../../platform/telemetry/logger.ts";
import type { Metrics } from "../../../platform/telemetry/metrics.ts";
import type { CountStoreLayout } from "../../shared/count-store.ts";
import { keysOf } from "../../shared/key-schema.ts";
import { createParkedView } from "../outbox/parked-shards.ts";
import { type OutboxEntry, type OutboxState, readEntries, readOutboxState } from "../outbox/store-redis.ts";
import { createDelivery } from "./deliver.ts";
import { createHeartbeat } from "./heartbeat.ts";
import { createParking } from "./parking.ts";
import { makeEntry } from "./publish-entries.ts";

/** The lease of the one relay that publishes. */
const lease = "count-write:outbox";
/** Entries read at once over all shards; one holds up to 512 changes. */
const readEntriesMax = 256;
/** A read waits at most so long for an entry. */
const blockMs = 1000;
/**
 * Pause after a round that left nothing behind, in milliseconds: each round costs an fsync in two stores and a few hundred microseconds of
 * this process, whatever it carries. A change after a quiet moment waits for none.
 */
const roundPauseMs = 25;
/** Pause after a failure, before the next attempt. */
const retryMs = 200;
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
 * bus's acknowledgement. What was published and not yet trimmed is published again after a crash, with the same id. An entry that
 * the bus refuses for itself, or that nobody can read, parks its shard: see `createParking`. Beside that it writes the heartbeat of
 * the counts primary.
 */
export interface OutboxRelay extends Component, OutboxView {
  /** Reads what waits; nothing while the layout is not known. */
  read(): Promise<OutboxState>;
}

/** A relay that holds no lease yet. */
export function createOutboxRelay(options: OutboxRelayOptions): OutboxRelay {
  const { store, leases, clock, log } = options;
  const deliver = createDelivery(options);
  const keepBeating = createHeartbeat(options);

  const relay = async (layout: CountStoreLayout, term: LeaseTerm, signal: AbortSignal): Promise<void> => {
    const connection = store.dedicated();
    const end = (): void => cutOff(connection);
    signal.addEventListener("abort", end, { once: true });
    const keys = Array.from({ length: layout.shards }, (_, shard) => keysOf(shard).outbox);
    const countMax = Math.max(1, Math.floor(readEntriesMax / layout.shards));
    const parking = createParking({ store, shards: layout.shards, clock, log });
    let after = keys.map(() => "0");
    let delivering: Promise<void> = Promise.resolve();
    try {
      while (!signal.aborted) {
        let entries: readonly OutboxEntry[];
        try {
          await untilReady(connection, signal);
          for (const shard of await parking.due()) after[shard] = "0";
          if (keys.every((_, shard) => parking.isParked(shard))) {
            await clock.sleep(blockMs, signal);
            continue;
          }
          entries = await readEntries(connection, { keys, isSkipped: parking.isParked, after, countMax, blockMs });
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
        const made = entries.map((entry) => makeEntry(layout, entry));
        for (const entry of entries) after[entry.shard] = entry.id;
        await delivering;
        // A shard that was parked meanwhile is read anew when it is due.
        const next = made.filter(({ entry }) => !parking.isParked(entry.shard));
        if (next.length === 0) continue;
        delivering = deliver(next, parking, term, signal);
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
    ...createParkedView(store, options.layout),
  };
}

async function readState(store: RedisStore, layout: CountStoreLayout | undefined): Promise<OutboxState> {
  return layout === undefined ? { depth: 0, ageMs: 0, parked: 0, bytes: 0 } : readOutboxState(store, layout.shards);
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
