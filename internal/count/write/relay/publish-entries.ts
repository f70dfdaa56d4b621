import type { LeaseTerm } from "../../../platform/lease/leases.ts";
import { type EventPublisher, type EventRecord, EventRefusedError } from "../../../platform/service/event-record.ts";
import type { CountStoreLayout } from "../../shared/count-store.ts";
import { recordOf } from "../events.ts";
import type { OutboxEntry } from "../outbox/store-redis.ts";

/** An entry with its event, or why it has none. */
export interface MadeEntry {
  readonly entry: OutboxEntry;
  readonly record: EventRecord | undefined;
  readonly reason: string;
}

/** An entry that cannot be published. */
export interface RefusedEntry {
  readonly entry: OutboxEntry;
  /** Why. */
  readonly reason: string;
}

/** What came of entries: one that is in neither list stands behind a refused one of its shard. */
export interface PublishedEntries {
  /** In order per shard. */
  readonly published: readonly OutboxEntry[];
  /** At most one of a shard. */
  readonly refused: readonly RefusedEntry[];
}

/** Makes the event of an entry; an entry that nobody can read has none. */
export function makeEntry(layout: CountStoreLayout, entry: OutboxEntry): MadeEntry {
  try {
    if (Number.isNaN(entry.position)) throw new Error("it does not say where it ends");
    return { entry, record: recordOf(layout, entry), reason: "" };
  } catch (error) {
    return { entry, record: undefined, reason: `the entry cannot be read: ${(error as Error).message}` };
  }
}

/** Publishes entries together, or one by one where the bus refuses one of them for itself. Rejects as the bus does otherwise. */
export async function publishEntries(
  broker: EventPublisher,
  made: readonly MadeEntry[],
  term: LeaseTerm,
): Promise<PublishedEntries> {
  const published: OutboxEntry[] = [];
  const records: EventRecord[] = [];
  const refused = new Map<number, RefusedEntry>();
  for (const { entry, record, reason } of made) {
    if (refused.has(entry.shard)) continue;
    if (record === undefined) {
      refused.set(entry.shard, { entry, reason });
      continue;
    }
    published.push(entry);
    records.push(record);
  }
  try {
    if (records.length > 0) await broker.publish(records, term);
    return { published, refused: [...refused.values()] };
  } catch (error) {
    if (!(error instanceof EventRefusedError)) throw error;
    return publishSingly(broker, made, term);
  }
}

async function publishSingly(
  broker: EventPublisher,
  made: readonly MadeEntry[],
  term: LeaseTerm,
): Promise<PublishedEntries> {
  const published: OutboxEntry[] = [];
  const refused = new Map<number, RefusedEntry>();
  for (const { entry, record, reason } of made) {
    if (refused.has(entry.shard)) continue;
    try {
      if (record === undefined) throw new EventRefusedError(reason);
      await broker.publish([record], term);
      published.push(entry);
    } catch (error) {
      if (!(error instanceof EventRefusedError)) throw error;
      refused.set(entry.shard, { entry, reason: error.message });
    }
  }
  return { published, refused: [...refused.values()] };
}
