import type { Clock } from "../clock/clock.ts";
import type { Database } from "../postgres/database.ts";
import { resourceErrors } from "../resource/errors.ts";
import type { EventRecord } from "../service/event-record.ts";
import type { OutboxState, OutboxView, ParkedEvent } from "../service/outbox-view.ts";

/** Channel that the outbox' trigger notifies. */
export const channelName = "muin_outbox";

/** Rows that are published together, and bytes after which no further row is added. */
const pageRowsMax = 256;
const pageBytesMax = 4 << 20;
/** So often the bus may refuse a row before only an operator has it tried again. */
const attemptsMax = 5;
/** A refused row is tried again so long after its first refusal, and four times as long after each further one. */
const retryAfterMs = 1000;

/** A place as `parked` takes it. */
const placeForm = /^\d{0,18}$/;

/** A row that waits to be published. */
export interface OutboxRow {
  /** Its place, which grows, per topic and subject, in the order of the commits. */
  readonly sequence: string;
  /** Whether a row before it, of its topic and subject, is parked. */
  readonly isBehind: boolean;
  readonly record: EventRecord;
}

/** A row that the bus refused for itself. */
export interface RefusedRow {
  readonly row: OutboxRow;
  /** Why. */
  readonly reason: string;
}

/** Reads the page of rows that wait with the lowest places; empty when none waits. */
export async function readPage({ sql }: Database): Promise<readonly OutboxRow[]> {
  const rows = await sql<StoredRow[]>`
    SELECT sequence, event_id, source, type, subject, topic, time_ms, epoch, traceparent, data, EXISTS (
      SELECT FROM platform.outbox AS head WHERE head.parked_ms IS NOT NULL AND head.topic = summed.topic
        AND head.subject = summed.subject AND head.sequence < summed.sequence) AS is_behind
    FROM (
      SELECT *, sum(octet_length(data)) OVER (ORDER BY sequence) - octet_length(data) AS bytes_before FROM (
        SELECT * FROM platform.outbox WHERE parked_ms IS NULL ORDER BY sequence LIMIT ${pageRowsMax}) AS oldest) AS summed
    WHERE bytes_before < ${pageBytesMax} ORDER BY sequence`;
  return rows.map((row) => ({ sequence: row.sequence, isBehind: row.is_behind, record: toRecord(row) }));
}

/** Deletes rows that the bus has acknowledged. */
export async function deleteRows({ sql }: Database, rows: readonly OutboxRow[]): Promise<void> {
  await sql`DELETE FROM platform.outbox WHERE sequence = any(${rows.map((row) => row.sequence)}::bigint[])`;
}

/**
 * Parks rows that the bus refused, and of `others` those that stand behind a parked row of their topic and subject. A row that is gone,
 * since another relay has published it, or whose head is no longer parked, is left as it is.
 */
export async function parkRows(
  { sql }: Database,
  refused: readonly RefusedRow[],
  others: readonly OutboxRow[],
  nowMs: number,
): Promise<void> {
  if (refused.length > 0) {
    await sql`
      UPDATE platform.outbox AS head SET parked_ms = ${nowMs}, attempts = attempts + 1, reason = refused.reason
      FROM unnest(${refused.map(({ row }) => row.sequence)}::bigint[], ${refused.map(({ reason }) => reason)}::text[])
        AS refused (sequence, reason) WHERE head.sequence = refused.sequence`;
  }
  if (others.length > 0) {
    await sql`
      UPDATE platform.outbox AS later SET parked_ms = ${nowMs}
      WHERE parked_ms IS NULL AND sequence = any(${others.map((row) => row.sequence)}::bigint[]) AND EXISTS (
        SELECT FROM platform.outbox AS head WHERE head.parked_ms IS NOT NULL AND head.topic = later.topic
          AND head.subject = later.subject AND head.sequence < later.sequence)`;
  }
}

/**
 * Gives parked rows back to be published whose first one is due to be tried again, and those that lost the one they stood behind,
 * since it was given back while they were being parked.
 */
export async function retryParked({ sql }: Database, nowMs: number): Promise<void> {
  // The distance, whatever its sign: a clock that ran ahead and was put back must not hold a row for that long.
  await sql`
    UPDATE platform.outbox SET parked_ms = NULL WHERE parked_ms IS NOT NULL AND (topic, subject) IN (
      SELECT topic, subject FROM (
        SELECT DISTINCT ON (topic, subject) topic, subject, attempts, parked_ms FROM platform.outbox
        WHERE parked_ms IS NOT NULL ORDER BY topic, subject, sequence) AS head
      WHERE attempts < ${attemptsMax} AND abs(${nowMs}::bigint - parked_ms) >= ${retryAfterMs} * 4 ^ (attempts - 1))`;
}

/** The outbox of a database as operators see it. */
export function createOutboxView(database: Database, clock: Pick<Clock, "now">): OutboxView {
  return {
    read: () => readState(database, clock),
    parked: async (after, limit) => {
      if (!placeForm.test(after)) throw resourceErrors.pageTokenInvalid();
      return listParked(database, after === "" ? "0" : after, limit);
    },
    redrive: (subject) => redriveParked(database, subject ?? null),
  };
}

async function readState({ sql }: Database, clock: Pick<Clock, "now">): Promise<OutboxState> {
  const [row] = await sql<{ depth: string; oldest: string | null; parked: string }[]>`
    SELECT count(*) FILTER (WHERE parked_ms IS NULL) AS depth, min(time_ms) FILTER (WHERE parked_ms IS NULL) AS oldest,
      count(parked_ms) AS parked FROM platform.outbox`;
  const oldest = row?.oldest ?? null;
  return {
    depth: Number(row?.depth ?? 0),
    ageMs: oldest === null ? 0 : Math.max(0, clock.now() - Number(oldest)),
    parked: Number(row?.parked ?? 0),
  };
}

async function listParked({ sql }: Database, after: string, limit: number): Promise<readonly ParkedEvent[]> {
  const rows = await sql<ParkedRow[]>`
    SELECT sequence, event_id, type, subject, topic, reason, attempts, parked_ms FROM platform.outbox
    WHERE parked_ms IS NOT NULL AND sequence > ${after}::bigint ORDER BY sequence LIMIT ${limit}`;
  return rows.map(({ sequence, event_id: id, type, subject, topic, reason, attempts, parked_ms }) => ({
    place: sequence,
    id,
    type,
    subject,
    topic,
    reason,
    attempts,
    parkTimeMs: Number(parked_ms),
  }));
}

async function redriveParked(database: Database, subject: string | null): Promise<number> {
  return database.transaction(async (tx) => {
    const { count } = await tx`
      UPDATE platform.outbox SET parked_ms = NULL, attempts = 0
      WHERE parked_ms IS NOT NULL AND (${subject}::text IS NULL OR subject = ${subject})`;
    await tx`SELECT pg_notify(${channelName}, '')`;
    return count;
  });
}

interface ParkedRow extends Pick<StoredRow, "sequence" | "event_id" | "type" | "subject" | "topic"> {
  readonly reason: string;
  readonly attempts: number;
  readonly parked_ms: string;
}

interface StoredRow {
  readonly sequence: string;
  readonly event_id: string;
  readonly source: string;
  readonly type: string;
  readonly subject: string;
  readonly topic: string;
  readonly time_ms: string;
  readonly epoch: string;
  readonly traceparent: string;
  readonly data: Uint8Array<ArrayBuffer>;
  readonly is_behind: boolean;
}

function toRecord(row: StoredRow): EventRecord {
  return {
    id: row.event_id,
    source: row.source,
    type: row.type,
    subject: row.subject,
    topic: row.topic,
    timeMs: Number(row.time_ms),
    epoch: Number(row.epoch),
    traceparent: row.traceparent,
    data: row.data,
  };
}
