import type { Database, Transaction } from "../../../platform/postgres/database.ts";
import { idsWith } from "../id-range.ts";
import type { CountContent, CountRecord, CountStateName, Operation } from "./record.ts";
import type { CountChange, InfoStore, NewChange } from "./store.ts";

interface InfoRow {
  readonly count_id: string;
  readonly display_name: string;
  readonly labels: Record<string, string>;
  readonly min_value: string | null;
  readonly max_value: string | null;
  readonly state: CountStateName;
  readonly version: string;
  readonly info_revision: string;
  readonly create_time: Date;
  readonly update_time: Date;
}

interface ChangeRow {
  readonly count_id: string;
  readonly info_revision: string;
  readonly operation: Operation;
  readonly display_name: string;
  readonly labels: Record<string, string>;
  readonly min_value: string | null;
  readonly max_value: string | null;
  readonly initial_value: string | null;
  readonly start_time: Date;
  readonly create_time: Date;
}

/** CountInfoDB in PostgreSQL. */
export function createPostgresInfoStore({ sql }: Pick<Database, "sql">): InfoStore {
  return {
    get: async (countId) => {
      const [row] = await sql<InfoRow[]>`SELECT * FROM count_info WHERE count_id = ${countId}`;
      return row === undefined ? undefined : toRecord(row);
    },

    list: async ({ prefix, labels, state }, after, limit) => {
      const { first, end } = idsWith(prefix);
      const rows = await sql<InfoRow[]>`
        SELECT * FROM count_info
        WHERE state = ${state} AND state <> 'PENDING' AND count_id > ${after} AND count_id >= ${first} AND count_id < ${end}
          ${labels.length === 0 ? sql`` : labels.map(([key, value]) => sql`AND labels @> ${sql.json({ [key]: value })}`)}
        ORDER BY count_id LIMIT ${limit}`;
      return rows.map(toRecord);
    },

    takeUp: async (ageMs, limit) => {
      const rows = await sql<ChangeRow[]>`
        WITH taken AS (
          UPDATE count_change SET attempt_time = now() WHERE count_id IN (
            SELECT count_id FROM count_change WHERE attempt_time <= now() - ${ageMs} * interval '1 millisecond'
            ORDER BY attempt_time LIMIT ${limit} FOR UPDATE SKIP LOCKED)
          RETURNING *)
        SELECT taken.*, info.create_time FROM taken JOIN count_info info USING (count_id)`;
      return rows.map(toChange);
    },

    reserve: async (tx, countId) => {
      await tx`
        INSERT INTO count_info (count_id, display_name, labels, state, version, info_revision, create_time, update_time)
        VALUES (${countId}, '', '{}', 'PENDING', 0, 0, now(), now()) ON CONFLICT DO NOTHING`;
    },

    lock: async (tx, countId) => {
      const [row] = await tx<InfoRow[]>`SELECT * FROM count_info WHERE count_id = ${countId} FOR UPDATE`;
      const infoRevision = Number(row?.info_revision ?? 0);
      return { record: row === undefined || infoRevision === 0 ? undefined : toRecord(row), infoRevision };
    },

    lockSettled: async (tx, after, limit) => {
      const rows = await tx<InfoRow[]>`
        SELECT * FROM count_info WHERE count_id > ${after} AND state IN ('ACTIVE', 'DELETED')
        ORDER BY count_id LIMIT ${limit} FOR UPDATE`;
      return rows.map(toRecord);
    },

    save: async (tx, record) => {
      const saved = await tx`
        UPDATE count_info SET display_name = ${record.displayName}, labels = ${tx.json(record.labels)},
          min_value = ${record.minValue?.toString() ?? null}, max_value = ${record.maxValue?.toString() ?? null},
          state = ${record.state}, version = ${record.version}, update_time = ${new Date(record.updateTimeMs)}
        WHERE count_id = ${record.countId} AND version < ${record.version}`;
      return saved.count > 0;
    },

    changeOf,

    begin,

    end: async (tx, { countId, infoRevision }) => {
      // The Count's row first, as who accepts a change does: whoever waits here sees what the one before did.
      await tx`SELECT FROM count_info WHERE count_id = ${countId} FOR UPDATE`;
      const [ended] = await tx<{ principal: string; request_id: string | null }[]>`
        DELETE FROM count_change WHERE count_id = ${countId} AND info_revision = ${infoRevision}
        RETURNING principal, request_id`;
      return ended === undefined ? undefined : { principal: ended.principal, requestId: ended.request_id ?? "" };
    },
  };
}

async function begin(tx: Transaction, change: NewChange): Promise<CountChange> {
  const { countId, infoRevision, operation, content, initialValue, stateMeanwhile, request } = change;
  await tx`
    UPDATE count_info SET info_revision = ${infoRevision}, state = ${stateMeanwhile} WHERE count_id = ${countId}`;
  await tx`
    INSERT INTO count_change (count_id, info_revision, operation, display_name, labels, min_value, max_value,
      initial_value, principal, request_id, start_time, attempt_time)
    VALUES (${countId}, ${infoRevision}, ${operation}, ${content.displayName}, ${tx.json(content.labels)},
      ${content.minValue?.toString() ?? null}, ${content.maxValue?.toString() ?? null},
      ${initialValue?.toString() ?? null}, ${request.principal},
      ${request.requestId === "" ? null : request.requestId}, now(), now())`;
  const begun = await changeOf(tx, countId);
  if (begun === undefined) throw new Error("a change that was just recorded is not there");
  return begun;
}

async function changeOf(tx: Transaction, countId: string): Promise<CountChange | undefined> {
  const [row] = await tx<ChangeRow[]>`
    SELECT change.*, info.create_time FROM count_change change JOIN count_info info USING (count_id)
    WHERE count_id = ${countId}`;
  return row === undefined ? undefined : toChange(row);
}

function toRecord(row: InfoRow): CountRecord {
  return {
    countId: row.count_id,
    ...contentOfRow(row),
    state: row.state,
    version: Number(row.version),
    createTimeMs: row.create_time.getTime(),
    updateTimeMs: row.update_time.getTime(),
  };
}

function toChange(row: ChangeRow): CountChange {
  return {
    countId: row.count_id,
    infoRevision: Number(row.info_revision),
    operation: row.operation,
    content: contentOfRow(row),
    initialValue: BigInt(row.initial_value ?? 0),
    createTimeMs: row.create_time.getTime(),
    startTimeMs: row.start_time.getTime(),
  };
}

function contentOfRow(row: InfoRow | ChangeRow): CountContent {
  return {
    displayName: row.display_name,
    labels: row.labels,
    minValue: row.min_value === null ? undefined : BigInt(row.min_value),
    maxValue: row.max_value === null ? undefined : BigInt(row.max_value),
  };
}
