import type { Clock } from "../clock/clock.ts";
import type { Component } from "../lifecycle/component.ts";
import { createLoop } from "../lifecycle/loop.ts";
import type { Database, Transaction } from "../postgres/database.ts";
import type { Logger } from "../telemetry/logger.ts";
import type { DeadLetters } from "./dead-letters.ts";

/** Pause between looks for rows that are no longer needed. */
const pruneEveryMs = 600_000;
/** Rows deleted by one statement. */
const pruneRowsMax = 5000;
/** Clocks of two machines may differ by so much. */
const clockMarginMs = 3_600_000;
/** Dead letters that are looked at in one step. */
const deadLetterPage = 1000;

/** Names the handling of an event by a consumer. */
export interface InboxKey {
  readonly consumer: string;
  /** Of `BusDelivery`: a replay begins a new one, for which nothing has happened yet. */
  readonly generation: number;
  readonly eventId: string;
}

/**
 * Runs `effect` in a transaction together with a row that says so, and returns true; returns false without running it when the row
 * was there. Two at the same time: the second waits for the first.
 */
export function once(database: Database, key: InboxKey, effect: (tx: Transaction) => Promise<void>): Promise<boolean> {
  return database.transaction(async (tx) => {
    const { count } = await tx`
      INSERT INTO platform.inbox (consumer, generation, event_id)
      VALUES (${key.consumer}, ${key.generation}, ${key.eventId}) ON CONFLICT DO NOTHING`;
    if (count === 0) return false;
    await effect(tx);
    return true;
  });
}

/**
 * Removes rows of events that cannot come again: older than the bus keeps events (`retentionMs`, the longest of the consumed
 * topics) and older than the service's oldest dead letter, which may be redriven at any time.
 */
export function createInboxPruner(options: {
  readonly service: string;
  readonly database: Database;
  readonly deadLetters: Pick<DeadLetters, "list">;
  readonly retentionMs: number;
  readonly clock: Clock;
  readonly log: Logger;
}): Component & { readonly prune: () => Promise<number> } {
  const { service, database, deadLetters, retentionMs, clock, log } = options;

  const prune = async (signal?: AbortSignal): Promise<number> => {
    let beforeMs = clock.now() - retentionMs;
    for (let pageToken = ""; ;) {
      const page = await deadLetters.list({ service, pageSize: deadLetterPage, pageToken });
      for (const { record } of page.deadLetters) beforeMs = Math.min(beforeMs, record.timeMs);
      pageToken = page.nextPageToken;
      if (pageToken === "") break;
    }
    const before = new Date(beforeMs - clockMarginMs);
    for (let pruned = 0; ;) {
      const { count } = await database.sql`
        DELETE FROM platform.inbox WHERE ctid IN (
          SELECT ctid FROM platform.inbox WHERE handled_at < ${before} LIMIT ${pruneRowsMax})`;
      pruned += count;
      if (count < pruneRowsMax || signal?.aborted === true) return pruned;
    }
  };

  const loop = createLoop({
    name: `inbox pruner of ${service}`,
    clock,
    everyMs: pruneEveryMs,
    work: prune,
    onFailure: (error) => log.warn("old inbox rows could not be removed", { err: error }),
  });
  return { ...loop, prune };
}
