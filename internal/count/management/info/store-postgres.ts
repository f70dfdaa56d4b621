import type { Database, Transaction } from "../../../platform/postgres/database.ts";
import { idsWith } from "../id-range.ts";
import type { CountContent, CountRecord, CountStateName, Operation } from "./record.ts";
import type { CountChange, InfoStore, NewChange, NewCount } from "./store.ts";

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

/**
 * CountInfoDB in PostgreSQL. A statement for several rows names their ids by ANY too: without it the planner reads a table of some ten
 * thousand rows from its beginning to its end.
 */
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

    beginCreations,

    takeBack: async (tx, creations) => {
      const ids = idsOf(creations);
      await Promise.all([
        tx`DELETE FROM count_change WHERE count_id = ANY(${ids}::text[])`,
        tx`DELETE FROM count_info WHERE count_id = ANY(${ids}::text[])`,
      ]);
    },

    lock: async (tx, countId) => {
      const [row] = await tx<InfoRow[]>`SELECT * FROM count_info WHERE count_id = ${countId} FOR UPDATE`;
      return { record: row === undefined ? undefined : toRecord(row), infoRevision: Number(row?.info_revision ?? 0) };
    },

    lockSettled: async (tx, after, limit) => {
      const rows = await tx<InfoRow[]>`
        SELECT * FROM count_info WHERE count_id > ${after} AND state IN ('ACTIVE', 'DELETED')
        ORDER BY count_id LIMIT ${limit} FOR UPDATE`;
      return rows.map(toRecord);
    },

    save,

    changeOf,

    begin,

    end: async (tx, changes) => {
      const ids = idsOf(changes);
      // The Count's row first, as who accepts a change does: whoever waits here sees what the one before did.
      const [, ended] = await Promise.all([
        lockCounts(tx, ids),
        tx<{ count_id: string; principal: string; request_id: string | null }[]>`
          DELETE FROM count_change USING unnest(
            ${ids}::text[], ${changes.map(({ infoRevision }) => infoRevision)}::bigint[]) AS given (count_id, info_revision)
          WHERE count_change.count_id = ANY(${ids}::text[]) AND count_change.count_id = given.count_id
            AND count_change.info_revision = given.info_revision
          RETURNING count_change.count_id, principal, request_id`,
      ]);
      const requests = new Map(
        ended.map((row) => [row.count_id, { principal: row.principal, requestId: row.request_id ?? "" }]),
      );
      return changes.map(({ countId }) => requests.get(countId));
    },
  };
}

/** Locks rows in the order of their ids. */
async function lockCounts(tx: Transaction, countIds: readonly string[]): Promise<void> {
  await tx`SELECT FROM count_info WHERE count_id = ANY(${countIds}::text[]) ORDER BY count_id FOR UPDATE`;
}

async function save(tx: Transaction, records: readonly CountRecord[]): Promise<readonly boolean[]> {
  const ids = idsOf(records);
  const [, saved] = await Promise.all([
    lockCounts(tx, ids),
    tx<{ count_id: string }[]>`
      UPDATE count_info SET display_name = given.display_name, labels = given.labels::jsonb, min_value = given.min_value,
        max_value = given.max_value, state = given.state, version = given.version,
        update_time = to_timestamp(given.update_ms / 1000.0)
      FROM unnest(${ids}::text[], ${records.map(({ displayName }) => displayName)}::text[],
          ${records.map(({ labels }) => JSON.stringify(labels))}::text[],
          ${records.map(({ minValue }) => minValue?.toString() ?? null)}::bigint[],
          ${records.map(({ maxValue }) => maxValue?.toString() ?? null)}::bigint[],
          ${records.map(({ state }) => state)}::text[], ${records.map(({ version }) => version)}::bigint[],
          ${records.map(({ updateTimeMs }) => updateTimeMs)}::bigint[])
        AS given (count_id, display_name, labels, min_value, max_value, state, version, update_ms)
      WHERE count_info.count_id = ANY(${ids}::text[]) AND count_info.count_id = given.count_id
        AND count_info.version < given.version
      RETURNING count_info.count_id`,
  ]);
  const changed = new Set(saved.map((row) => row.count_id));
  return ids.map((countId) => changed.has(countId));
}

async function beginCreations(
  tx: Transaction,
  counts: readonly NewCount[],
): Promise<readonly (CountChange | undefined)[]> {
  const contents = counts.map(({ content }) => content);
  const made = await tx<{ count_id: string; create_time: Date }[]>`
    WITH given AS (
      SELECT * FROM unnest(${idsOf(counts)}::text[], ${contents.map(({ displayName }) => displayName)}::text[],
          ${contents.map(({ labels }) => JSON.stringify(labels))}::text[],
          ${contents.map(({ minValue }) => minValue?.toString() ?? null)}::bigint[],
          ${contents.map(({ maxValue }) => maxValue?.toString() ?? null)}::bigint[],
          ${counts.map(({ initialValue }) => initialValue.toString())}::bigint[],
          ${counts.map(({ request }) => request.principal)}::text[],
          ${counts.map(({ request }) => (request.requestId === "" ? null : request.requestId))}::text[])
        AS given (count_id, display_name, labels, min_value, max_value, initial_value, principal, request_id)),
    made AS (
      INSERT INTO count_info (count_id, display_name, labels, state, version, info_revision, create_time, update_time)
      SELECT count_id, '', '{}', 'PENDING', 0, 1, now(), now() FROM given ORDER BY count_id COLLATE "C"
      ON CONFLICT DO NOTHING
      RETURNING count_id, create_time),
    begun AS (
      INSERT INTO count_change (count_id, info_revision, operation, display_name, labels, min_value, max_value,
        initial_value, principal, request_id, start_time, attempt_time)
      SELECT count_id, 1, 'CREATE', display_name, labels::jsonb, min_value, max_value, initial_value, principal,
        request_id, now(), now()
      FROM made JOIN given USING (count_id))
    SELECT count_id, create_time FROM made`;
  const times = new Map(made.map((row) => [row.count_id, row.create_time.getTime()]));
  return counts.map(({ countId, content, initialValue }) => {
    const timeMs = times.get(countId);
    if (timeMs === undefined) return undefined;
    const change = { countId, infoRevision: 1, operation: "CREATE" as const, content, initialValue };
    return { ...change, createTimeMs: timeMs, startTimeMs: timeMs };
  });
}

async function begin(tx: Transaction, change: NewChange): Promise<CountChange> {
  const { countId, infoRevision, operation, content, stateMeanwhile, request } = change;
  await tx`
    UPDATE count_info SET info_revision = ${infoRevision}, state = ${stateMeanwhile} WHERE count_id = ${countId}`;
  await tx`
    INSERT INTO count_change (count_id, info_revision, operation, display_name, labels, min_value, max_value, principal,
      request_id, start_time, attempt_time)
    VALUES (${countId}, ${infoRevision}, ${operation}, ${content.displayName}, ${tx.json(content.labels)},
      ${content.minValue?.toString() ?? null}, ${content.maxValue?.toString() ?? null}, ${request.principal},
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

function idsOf(counts: readonly { readonly countId: string }[]): readonly string[] {
  return counts.map(({ countId }) => countId);
}
