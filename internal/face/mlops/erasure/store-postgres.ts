import type { Sql } from "../../../platform/postgres/database.ts";
import { erasureSteps, type ErasureStep, type ErasureStore, type LedgerEntry, type StoredErasure } from "./store.ts";

/** What the ledger says of what is to be erased. */
interface LedgerRow {
  readonly erasure_id: string;
  readonly enrolment_id: string;
  readonly member_id: string;
  readonly branch_ids: readonly string[];
  readonly create_time: Date;
  readonly is_signed: boolean;
}

/** A row of face_erasures with its steps. */
interface ErasureRow extends LedgerRow {
  readonly model_id: string;
  readonly principal: string;
  readonly version: string;
  readonly receipt: string;
  readonly steps: readonly {
    readonly step: ErasureStep;
    readonly time: string;
    readonly detail: string;
    readonly change_id: string;
  }[];
}

/** The ledger of erasures in PostgreSQL. */
export const postgresErasureStore: ErasureStore = {
  get: async (sql, erasureId) => {
    const [row] = await sql<ErasureRow[]>`
      SELECT ${columnsOf(sql)} FROM face_erasures e WHERE erasure_id = ${erasureId}`;
    return row && toErasure(row);
  },

  find: async (sql, enrolmentId) => {
    const [row] = await sql<ErasureRow[]>`
      SELECT ${columnsOf(sql)} FROM face_erasures e WHERE enrolment_id = ${enrolmentId}`;
    return row && toErasure(row);
  },

  ofMember: async (sql, memberId, limit) => {
    const rows = await sql<ErasureRow[]>`
      SELECT ${columnsOf(sql)} FROM face_erasures e WHERE member_id = ${memberId} ORDER BY create_time, erasure_id LIMIT ${limit}`;
    return rows.map(toErasure);
  },

  unsignedOfMember: async (sql, memberId) => {
    const [row] = await sql<{ count: number }[]>`
      SELECT count(*)::int AS count FROM face_erasures WHERE member_id = ${memberId} AND receipt = ''`;
    return row?.count ?? 0;
  },

  add: async (tx, { erasureId, enrolmentId, memberId, modelId, branchIds, principal, version, createTimeMs }) => {
    const createTime = new Date(createTimeMs);
    await tx`
      INSERT INTO face_erasures (erasure_id, enrolment_id, member_id, model_id, branch_ids, principal, version, create_time, due_time)
      VALUES (${erasureId}, ${enrolmentId}, ${memberId}, ${modelId}, ${[...branchIds]}::text[], ${principal}, ${version}, ${createTime}, ${createTime})`;
    await tx`
      INSERT INTO face_erasure_steps (erasure_id, step, time) VALUES (${erasureId}, 'RECORDED', ${createTime})`;
  },

  took: async (sql, erasureId, { step, timeMs, detail, changeId }) => {
    await sql`
      INSERT INTO face_erasure_steps (erasure_id, step, time, detail, change_id)
      VALUES (${erasureId}, ${step}, ${new Date(timeMs)}, ${detail}, ${changeId})
      ON CONFLICT (erasure_id, step) DO NOTHING`;
  },

  retake: async (sql, erasureId, steps) => {
    await sql`DELETE FROM face_erasure_steps WHERE erasure_id = ${erasureId} AND step = ANY(${[...steps]}::text[])`;
  },

  lock: async (tx, erasureId) => {
    await tx`SELECT FROM face_erasures WHERE erasure_id = ${erasureId} FOR UPDATE`;
    return postgresErasureStore.get(tx, erasureId); // A statement of its own: it sees what was committed before the lock was had.
  },

  sign: async (tx, erasureId, receipt, timeMs, forgetMs) => {
    await tx`
      UPDATE face_erasures SET receipt = ${receipt}, due_time = ${new Date(forgetMs)} WHERE erasure_id = ${erasureId}`;
    await tx`
      INSERT INTO face_erasure_steps (erasure_id, step, time) VALUES (${erasureId}, 'SIGNED', ${new Date(timeMs)})`;
  },

  takeUp: async (sql, { nowMs, forMs, aheadMs }, limit) => {
    const rows = await sql<ErasureRow[]>`
      WITH taken AS (
        UPDATE face_erasures SET due_time = ${new Date(nowMs + forMs)} WHERE erasure_id IN (
          SELECT erasure_id FROM face_erasures
          WHERE due_time <= ${new Date(nowMs)} OR due_time > ${new Date(nowMs + aheadMs)}
          ORDER BY due_time, erasure_id LIMIT ${limit} FOR UPDATE SKIP LOCKED)
        RETURNING *)
      SELECT ${columnsOf(sql)} FROM taken e ORDER BY create_time, erasure_id`;
    return rows.map(toErasure);
  },

  forgotten: async (sql, erasureId) => {
    await sql`UPDATE face_erasures SET due_time = NULL WHERE erasure_id = ${erasureId} AND receipt <> ''`;
  },

  denied: async (sql, enrolmentIds, forgetMs) => {
    await sql`
      UPDATE face_erasures SET due_time = ${new Date(forgetMs)}
      WHERE enrolment_id = ANY(${[...enrolmentIds]}::text[]) AND receipt <> ''`;
  },

  denials: async (sql, after, limit) => {
    const rows = await sql<LedgerRow[]>`
      SELECT ${ledgerColumnsOf(sql)} FROM face_erasures
      WHERE due_time IS NOT NULL AND erasure_id > ${after} ORDER BY erasure_id LIMIT ${limit}`;
    return rows.map(toEntry);
  },

  recorded: async (sql, enrolmentIds) => {
    if (enrolmentIds.length === 0) return [];
    const rows = await sql<LedgerRow[]>`
      SELECT ${ledgerColumnsOf(sql)} FROM face_erasures WHERE enrolment_id = ANY(${[...enrolmentIds]}::text[])`;
    return rows.map(toEntry);
  },

  signed: async (sql, after, limit) => {
    const rows = await sql<ErasureRow[]>`
      SELECT ${columnsOf(sql)} FROM face_erasures e
      WHERE receipt <> '' AND erasure_id > ${after} ORDER BY erasure_id LIMIT ${limit}`;
    return rows.map(toErasure);
  },

  forgetMember: async (tx, memberId) => {
    await tx`UPDATE face_erasures SET member_id = '' WHERE member_id = ${memberId}`;
  },

  forgetPrincipal: async (tx, principal) => {
    await tx`UPDATE face_erasures SET principal = '' WHERE principal = ${principal}`;
  },
};

/** An erasure's row with its steps. */
function columnsOf(sql: Sql) {
  return sql`
    e.erasure_id, e.enrolment_id, e.member_id, e.model_id, e.branch_ids, e.principal, e.version, e.create_time, e.receipt, e.receipt <> '' AS is_signed,
    (SELECT jsonb_agg(jsonb_build_object('step', step, 'time', time, 'detail', detail, 'change_id', change_id))
      FROM face_erasure_steps s WHERE s.erasure_id = e.erasure_id) AS steps`;
}

function ledgerColumnsOf(sql: Sql) {
  return sql`erasure_id, enrolment_id, member_id, branch_ids, create_time, receipt <> '' AS is_signed`;
}

function toEntry(row: LedgerRow): LedgerEntry {
  return {
    erasureId: row.erasure_id,
    enrolmentId: row.enrolment_id,
    memberId: row.member_id,
    branchIds: row.branch_ids,
    createTimeMs: row.create_time.getTime(),
    isSigned: row.is_signed,
  };
}

function toErasure(row: ErasureRow): StoredErasure {
  const steps = row.steps.map(({ step, time, detail, change_id }) => ({
    step,
    timeMs: Date.parse(time),
    detail,
    changeId: change_id,
  }));
  const { isSigned: _, ...entry } = toEntry(row);
  return {
    ...entry,
    modelId: row.model_id,
    principal: row.principal,
    version: Number(row.version),
    steps: steps.toSorted((one, other) => erasureSteps.indexOf(one.step) - erasureSteps.indexOf(other.step)),
    receipt: row.receipt,
  };
}
