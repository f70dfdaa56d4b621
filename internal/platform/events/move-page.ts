import type { Clock } from "../clock/clock.ts";
import type { LeaseTerm } from "../lease/leases.ts";
import type { Database } from "../postgres/database.ts";
import { EventRefusedError, type EventPublisher } from "../service/event-record.ts";
import type { Logger } from "../telemetry/logger.ts";
import { deleteRows, parkRows, readPage, type OutboxRow, type RefusedRow } from "./outbox-table.ts";

interface MovePageDeps {
  readonly database: Database;
  readonly broker: EventPublisher;
  readonly clock: Pick<Clock, "now">;
  readonly log: Logger;
}

/**
 * Publishes one page of rows and deletes it; true when there may be more. What the bus refuses for itself is parked, with the rows of
 * its topic and subject behind it; the others go on.
 */
export async function movePage({ database, broker, clock, log }: MovePageDeps, term: LeaseTerm): Promise<boolean> {
  const rows = await readPage(database);
  if (rows.length === 0) return false;
  const free = rows.filter(({ isBehind }) => !isBehind);
  const { published, refused } = await publishRows(broker, free, term);
  const settled = new Set([...published, ...refused.map(({ row }) => row)]);
  const behind = rows.filter((row) => !settled.has(row));
  await deleteRows(database, published);
  await parkRows(database, refused, behind, clock.now());
  const [first] = refused;
  if (first !== undefined) {
    const { id, type, topic } = first.row.record;
    const facts = { id, type, topic, reason: first.reason, parked: refused.length };
    log.error("the bus refuses an event: it is parked, and later ones of its key wait behind it", facts);
  }
  return true;
}

/** What came of rows: one that is in neither list stands behind a refused one of its topic and subject. */
interface PublishedRows {
  readonly published: readonly OutboxRow[];
  readonly refused: readonly RefusedRow[];
}

/** Publishes rows together, or one by one where the bus refuses one of them. */
async function publishRows(
  broker: EventPublisher,
  rows: readonly OutboxRow[],
  term: LeaseTerm,
): Promise<PublishedRows> {
  try {
    const records = rows.map(({ record }) => record);
    if (records.length > 0) await broker.publish(records, term);
    return { published: rows, refused: [] };
  } catch (error) {
    if (!(error instanceof EventRefusedError)) throw error;
    return publishSingly(broker, rows, term);
  }
}

async function publishSingly(
  broker: EventPublisher,
  rows: readonly OutboxRow[],
  term: LeaseTerm,
): Promise<PublishedRows> {
  const published: OutboxRow[] = [];
  const refused: RefusedRow[] = [];
  const heldKeys = new Set<string>();
  for (const row of rows) {
    const key = JSON.stringify([row.record.topic, row.record.subject]);
    if (heldKeys.has(key)) continue;
    try {
      await broker.publish([row.record], term);
      published.push(row);
    } catch (error) {
      if (!(error instanceof EventRefusedError)) throw error;
      refused.push({ row, reason: error.message });
      heldKeys.add(key);
    }
  }
  return { published, refused };
}
