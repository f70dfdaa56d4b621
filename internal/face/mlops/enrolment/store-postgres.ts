import type { EnrolmentStore, FaceChange, StoredEnrolment } from "./store.ts";

interface EnrolmentRow {
  readonly enrolment_id: string;
  readonly member_id: string;
  readonly model_id: string;
  readonly branch_ids: readonly string[];
  readonly state: "PENDING" | "ACTIVE";
  readonly face_count: number;
  readonly consent_text_version: string;
  readonly consent_time: Date;
  readonly consent_recorder: string;
  readonly version: string;
  readonly create_time: Date;
  readonly update_time: Date;
}

interface ChangeRow {
  readonly change_id: string;
  readonly enrolment_id: string;
  readonly model_id: string;
  readonly branch_ids: readonly string[];
  readonly face_count: number;
  readonly digest: Uint8Array;
  readonly principal: string;
  readonly request_id: string;
  readonly fingerprint: Uint8Array;
  readonly overrides: boolean;
  readonly start_time: Date;
}

/** Enrolments in PostgreSQL. */
export const postgresEnrolmentStore: EnrolmentStore = {
  find: async (sql, enrolmentId) => {
    const [row] = await sql<EnrolmentRow[]>`
      SELECT * FROM enrolments WHERE enrolment_id = ${enrolmentId} AND state = 'ACTIVE'`;
    return row && toEnrolment(row);
  },

  list: async (sql, { branchId, memberId, viewerId }, after, limit) => {
    const rows = await sql<EnrolmentRow[]>`
      SELECT * FROM enrolments WHERE enrolment_id > ${after} AND state = 'ACTIVE'
        ${branchId === "" ? sql`` : sql`AND branch_ids @> ARRAY[${branchId}]`}
        ${memberId === "" ? sql`` : sql`AND member_id = ${memberId}`}
        ${
          viewerId === undefined
            ? sql``
            : sql`AND (member_id = ${viewerId} OR branch_ids <@ ARRAY(
                SELECT branch_id FROM branches WHERE owner_id = ${viewerId} OR managers @> ARRAY[${viewerId}]))`
        }
      ORDER BY enrolment_id LIMIT ${limit}`;
    return rows.map(toEnrolment);
  },

  lockPage: async (tx, after, limit) => {
    const rows = await tx<EnrolmentRow[]>`
      SELECT * FROM enrolments WHERE enrolment_id > ${after} AND state = 'ACTIVE'
      ORDER BY enrolment_id LIMIT ${limit} FOR NO KEY UPDATE`;
    return rows.map(toEnrolment);
  },

  ofMember: async (sql, memberId) => {
    const rows = await sql<EnrolmentRow[]>`
      SELECT * FROM enrolments WHERE member_id = ${memberId} ORDER BY enrolment_id`;
    return rows.map(toEnrolment);
  },

  inGallery: async (sql, { branchId, modelId }, after, limit) => {
    const rows = await sql<EnrolmentRow[]>`
      SELECT * FROM enrolments
      WHERE branch_ids @> ARRAY[${branchId}] AND model_id = ${modelId} AND state = 'ACTIVE' AND enrolment_id > ${after}
      ORDER BY enrolment_id LIMIT ${limit}`;
    return rows.map(toEnrolment);
  },

  changedSince: async (sql, { branchId, modelId }, sinceMs, after, limit) => {
    const rows = await sql<EnrolmentRow[]>`
      SELECT * FROM enrolments
      WHERE branch_ids @> ARRAY[${branchId}] AND model_id = ${modelId} AND state = 'ACTIVE'
        AND update_time >= ${new Date(sinceMs)} AND enrolment_id > ${after}
      ORDER BY enrolment_id LIMIT ${limit}`;
    return rows.map(toEnrolment);
  },

  among: async (sql, { branchId, modelId }, enrolmentIds) => {
    if (enrolmentIds.length === 0) return [];
    const rows = await sql<{ enrolment_id: string }[]>`
      SELECT enrolment_id FROM enrolments
      WHERE enrolment_id = ANY(${[...enrolmentIds]}::text[]) AND branch_ids @> ARRAY[${branchId}] AND model_id = ${modelId}`;
    return rows.map((row) => row.enrolment_id);
  },

  isEnrolled: async (sql, memberId, modelId) => {
    const rows = await sql`SELECT FROM enrolments WHERE member_id = ${memberId} AND model_id = ${modelId}`;
    return rows.length > 0;
  },

  isAnybodyEnrolled: async (sql, branchId, modelId) => {
    const rows = await sql`
      SELECT FROM enrolments
      WHERE branch_ids @> ARRAY[${branchId}] AND model_id = ${modelId} AND state = 'ACTIVE' LIMIT 1`;
    return rows.length > 0;
  },

  add: async (tx, enrolment) => {
    const { enrolmentId, memberId, modelId, branchIds, consent, version, createTimeMs, updateTimeMs } = enrolment;
    const { count } = await tx`
      INSERT INTO enrolments (enrolment_id, member_id, model_id, branch_ids, state, face_count,
        consent_text_version, consent_time, consent_recorder, version, create_time, update_time)
      VALUES (${enrolmentId}, ${memberId}, ${modelId}, ${[...branchIds]}::text[], 'PENDING',
        ${enrolment.faceCount}, ${consent.textVersion}, ${new Date(consent.timeMs)}, ${consent.recorder}, ${version}, ${new Date(createTimeMs)}, ${new Date(updateTimeMs)})
      ON CONFLICT (member_id, model_id) DO NOTHING`;
    return count > 0;
  },

  lock: async (tx, enrolmentId) => {
    const [row] = await tx<EnrolmentRow[]>`
      SELECT * FROM enrolments WHERE enrolment_id = ${enrolmentId} FOR NO KEY UPDATE`;
    return row && { enrolment: toEnrolment(row), isNew: row.state === "PENDING" };
  },

  save: async (tx, { enrolmentId, faceCount, version, updateTimeMs }) => {
    await tx`
      UPDATE enrolments SET state = 'ACTIVE', face_count = ${faceCount}, version = ${version}, update_time = ${new Date(updateTimeMs)}
      WHERE enrolment_id = ${enrolmentId}`;
  },

  remove: async (tx, enrolmentId) => {
    await tx`DELETE FROM face_changes WHERE enrolment_id = ${enrolmentId}`;
    await tx`DELETE FROM enrolments WHERE enrolment_id = ${enrolmentId}`;
  },

  begin: async (tx, change) => {
    const { changeId, enrolmentId, modelId, branchIds, faceCount, digest, request, overrides, startTimeMs } = change;
    await tx`
      INSERT INTO face_changes (change_id, enrolment_id, model_id, branch_ids, face_count, digest, principal, request_id,
        fingerprint, overrides, start_time)
      VALUES (${changeId}, ${enrolmentId}, ${modelId}, ${[...branchIds]}::text[], ${faceCount}, ${digest},
        ${request.principal}, ${request.requestId}, ${request.fingerprint}, ${overrides}, ${new Date(startTimeMs)})`;
  },

  changesAt: async (sql, modelId, branchIds) => {
    const rows = await sql<ChangeRow[]>`
      SELECT * FROM face_changes WHERE model_id = ${modelId} AND branch_ids && ${[...branchIds]}::text[]
      ORDER BY change_id`;
    return rows.map(toChange);
  },

  changeOf: async (sql, { principal, requestId }) => {
    const [row] = await sql<ChangeRow[]>`
      SELECT * FROM face_changes WHERE principal = ${principal} AND request_id = ${requestId} LIMIT 1`;
    return row && toChange(row);
  },

  changes: async (sql, limit) => {
    const rows = await sql<ChangeRow[]>`SELECT * FROM face_changes ORDER BY change_id LIMIT ${limit}`;
    return rows.map(toChange);
  },

  lockChange: async (tx, changeId) => {
    const [row] = await tx<ChangeRow[]>`SELECT * FROM face_changes WHERE change_id = ${changeId} FOR UPDATE`;
    return row && toChange(row);
  },

  end: async (tx, changeId) => {
    const { count } = await tx`DELETE FROM face_changes WHERE change_id = ${changeId}`;
    return count > 0;
  },

  addOverride: async (tx, { changeId, enrolmentId, request }, timeMs) => {
    await tx`
      INSERT INTO duplicate_overrides (change_id, enrolment_id, principal, time)
      VALUES (${changeId}, ${enrolmentId}, ${request.principal}, ${new Date(timeMs)})`;
  },
};

function toEnrolment(row: EnrolmentRow): StoredEnrolment {
  return {
    enrolmentId: row.enrolment_id,
    memberId: row.member_id,
    modelId: row.model_id,
    branchIds: row.branch_ids,
    faceCount: row.face_count,
    consent: {
      textVersion: row.consent_text_version,
      timeMs: row.consent_time.getTime(),
      recorder: row.consent_recorder,
    },
    version: Number(row.version),
    createTimeMs: row.create_time.getTime(),
    updateTimeMs: row.update_time.getTime(),
  };
}

function toChange(row: ChangeRow): FaceChange {
  return {
    changeId: row.change_id,
    enrolmentId: row.enrolment_id,
    modelId: row.model_id,
    branchIds: row.branch_ids,
    faceCount: row.face_count,
    digest: new Uint8Array(row.digest),
    request: { principal: row.principal, requestId: row.request_id, fingerprint: new Uint8Array(row.fingerprint) },
    overrides: row.overrides,
    startTimeMs: row.start_time.getTime(),
  };
}
