import { create } from "@bufbuild/protobuf";
import { timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import {
  EntrySchema,
  type Decision,
  type DecisionReason,
  type DecisionSource,
  type Entry,
  type EntryKind,
  type ReplayCheck,
} from "../../../gen/muin/face/v1/entry_pb.ts";
import { takeLock } from "../../../platform/postgres/advisory-lock.ts";
import type { Sql } from "../../../platform/postgres/database.ts";
import type { EntryQuery, EntryStore } from "./store.ts";

/** Held by whoever records or removes entries, or erases a person, until that can be seen. */
const lockName = "muin access entries";
/** On this channel it is told that entries were recorded. */
export const recordedChannel = "muin_access_entries";

/** The log of entries in PostgreSQL. */
export const postgresEntryStore: EntryStore = {
  record: async (tx, entries, newPseudonym) => {
    await takeLock(tx, lockName);
    const people = [...new Set(entries.map(({ memberId }) => memberId))];
    const erased = await tx<{ member_id: string }[]>`
      SELECT member_id FROM erased_people WHERE member_id = ANY(${people}::text[])`;
    const pseudonyms = new Map(erased.map(({ member_id }) => [member_id, newPseudonym()]));
    const named = entries.map((entry) => ({ ...entry, memberId: pseudonyms.get(entry.memberId) ?? entry.memberId }));
    const column = <T>(read: (entry: Entry) => T): T[] => named.map(read);
    const recorded = await tx<{ entry_id: string }[]>`
      INSERT INTO entries (entry_id, branch_id, device_id, kind, decision, reason, member_id, model_id, source, snapshot_age_ms,
        replay_check, capture_time, decide_time, decide_micros, search_micros)
      SELECT entry_id, branch_id, device_id, kind, decision, reason, member_id, model_id, source, snapshot_age_ms,
        replay_check, to_timestamp(capture_ms / 1000.0), to_timestamp(decide_ms / 1000.0), decide_micros, search_micros
      FROM unnest(${column((e) => e.entryId)}::text[], ${column((e) => e.branchId)}::text[],
        ${column((e) => e.deviceId)}::text[], ${column((e) => e.kind)}::bigint[], ${column((e) => e.decision)}::bigint[],
        ${column((e) => e.reason)}::bigint[], ${column((e) => e.memberId)}::text[], ${column((e) => e.modelId)}::text[],
        ${column((e) => e.source)}::bigint[], ${column((e) => String(e.snapshotAgeMs))}::bigint[],
        ${column((e) => e.replayCheck)}::bigint[], ${column((e) => String(msOf(e.captureTime)))}::bigint[],
        ${column((e) => String(msOf(e.decideTime)))}::bigint[], ${column((e) => String(e.decideMicros))}::bigint[],
        ${column((e) => String(e.searchMicros))}::bigint[])
        WITH ORDINALITY AS given (entry_id, branch_id, device_id, kind, decision, reason, member_id, model_id, source, snapshot_age_ms,
        replay_check, capture_ms, decide_ms, decide_micros, search_micros, place)
      ORDER BY place
      ON CONFLICT (entry_id) DO NOTHING
      RETURNING entry_id`;
    if (recorded.length > 0) await tx`SELECT pg_notify(${recordedChannel}, '')`;
    const isNew = new Set(recorded.map(({ entry_id }) => entry_id));
    return named.filter(({ entryId }) => isNew.delete(entryId));
  },

  find: async (sql, entryId) => {
    const [row] = await sql<Row[]>`SELECT * FROM entries WHERE entry_id = ${entryId}`;
    return row && entryOf(row);
  },

  list: async (sql, query, before, limit) => {
    const rows = await sql<Row[]>`
      SELECT * FROM entries WHERE ${conditions(sql, query)}
        ${before === undefined ? sql`` : sql`AND (decide_time, entry_id) < (${new Date(before.decideTimeMs)}, ${before.entryId})`}
      ORDER BY decide_time DESC, entry_id DESC LIMIT ${limit}`;
    return rows.map(entryOf);
  },

  listRecorded: async (sql, query, after, limit) => {
    const rows = await sql<Row[]>`
      SELECT * FROM entries WHERE ${conditions(sql, query)} AND sequence > ${String(after)}
      ORDER BY sequence LIMIT ${limit}`;
    return rows.map((row) => ({ entry: entryOf(row), sequence: BigInt(row.sequence) }));
  },

  bounds: async (sql) => {
    const [row] = await sql<{ last: string; removed: string }[]>`
      SELECT greatest(coalesce((SELECT max(sequence) FROM entries), 0), r.sequence) AS last, r.sequence AS removed
      FROM entry_removal AS r`;
    return { last: BigInt(row?.last ?? 0), removed: BigInt(row?.removed ?? 0) };
  },

  remove: async (tx, beforeMs, limit) => {
    await takeLock(tx, lockName);
    const [row] = await tx<{ count: number; last: string | null }[]>`
      WITH removed AS (
        DELETE FROM entries WHERE entry_id IN (
          SELECT entry_id FROM entries WHERE decide_time < ${new Date(beforeMs)} ORDER BY decide_time, entry_id LIMIT ${limit})
        RETURNING sequence)
      SELECT count(*)::int AS count, max(sequence) AS last FROM removed`;
    const { count, last } = row!;
    if (last !== null) await tx`UPDATE entry_removal SET sequence = greatest(sequence, ${last}::bigint)`;
    return count;
  },

  erase: async (tx, memberId, pseudonym) => {
    await takeLock(tx, lockName);
    await tx`INSERT INTO erased_people (member_id) VALUES (${memberId}) ON CONFLICT DO NOTHING`;
    await tx`UPDATE entries SET member_id = ${pseudonym} WHERE member_id = ${memberId}`;
  },
};

function conditions(sql: Sql, query: EntryQuery): ReturnType<Sql> {
  const { branchId, memberId, deviceId, decision, reason, kind, fromMs, untilMs } = query;
  return sql`TRUE
    ${branchId === undefined ? sql`` : sql`AND branch_id = ${branchId}`}
    ${memberId === undefined ? sql`` : sql`AND member_id = ${memberId} AND member_id <> ''`}
    ${deviceId === undefined ? sql`` : sql`AND device_id = ${deviceId}`}
    ${decision === undefined ? sql`` : sql`AND decision = ${decision}`}
    ${reason === undefined ? sql`` : sql`AND reason = ${reason}`}
    ${kind === undefined ? sql`` : sql`AND kind = ${kind}`}
    ${fromMs === undefined ? sql`` : sql`AND decide_time >= ${new Date(fromMs)}`}
    ${untilMs === undefined ? sql`` : sql`AND decide_time < ${new Date(untilMs)}`}`;
}

interface Row {
  readonly entry_id: string;
  readonly sequence: string;
  readonly branch_id: string;
  readonly device_id: string;
  readonly kind: EntryKind;
  readonly decision: Decision;
  readonly reason: DecisionReason;
  readonly member_id: string;
  readonly model_id: string;
  readonly source: DecisionSource;
  readonly snapshot_age_ms: string;
  readonly replay_check: ReplayCheck;
  readonly capture_time: Date;
  readonly decide_time: Date;
  readonly decide_micros: string;
  readonly search_micros: string;
}

function entryOf(row: Row): Entry {
  return create(EntrySchema, {
    entryId: row.entry_id,
    branchId: row.branch_id,
    deviceId: row.device_id,
    kind: row.kind,
    decision: row.decision,
    reason: row.reason,
    memberId: row.member_id,
    modelId: row.model_id,
    source: row.source,
    snapshotAgeMs: BigInt(row.snapshot_age_ms),
    replayCheck: row.replay_check,
    captureTime: timestampFromMs(row.capture_time.getTime()),
    decideTime: timestampFromMs(row.decide_time.getTime()),
    decideMicros: BigInt(row.decide_micros),
    searchMicros: BigInt(row.search_micros),
  });
}

function msOf(time: Entry["captureTime"]): number {
  return time === undefined ? 0 : timestampMs(time);
}
