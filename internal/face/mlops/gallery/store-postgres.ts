import type { Sql } from "../../../platform/postgres/database.ts";
import type { GalleryStateName, GalleryStore, StoredGallery } from "./store.ts";

interface GalleryRow {
  readonly branch_id: string;
  readonly model_id: string;
  readonly generation: number;
  readonly key_id: string;
  readonly state: GalleryStateName;
  readonly update_time: Date;
}

/** Galleries in PostgreSQL. */
export const postgresGalleryStore: GalleryStore = {
  hold: async (tx, modelId, branchIds) => {
    await tx`SELECT pg_advisory_xact_lock(key) FROM (${lockKeys(tx, modelId, branchIds)}) AS keys`;
  },

  tryHold: async (tx, modelId, branchIds) => {
    const rows = await tx<{ held: boolean }[]>`
      SELECT pg_try_advisory_xact_lock(key) AS held FROM (${lockKeys(tx, modelId, branchIds)}) AS keys`;
    return rows.every(({ held }) => held);
  },

  of: async (sql, modelId, branchIds) => {
    const rows = await sql<GalleryRow[]>`
      SELECT * FROM galleries WHERE model_id = ${modelId} AND branch_id = ANY(${[...branchIds]}::text[])
      ORDER BY branch_id`;
    return rows.map(toGallery);
  },

  atBranches: async (sql, branchIds) => {
    const rows = await sql<GalleryRow[]>`
      SELECT * FROM galleries WHERE branch_id = ANY(${[...branchIds]}::text[]) ORDER BY branch_id, model_id`;
    return rows.map(toGallery);
  },

  page: async (sql, after, limit) => {
    const rows = await sql<GalleryRow[]>`
      SELECT * FROM galleries
      WHERE (branch_id, model_id) > (${after?.branchId ?? ""}, ${after?.modelId ?? ""})
      ORDER BY branch_id, model_id LIMIT ${limit}`;
    return rows.map(toGallery);
  },

  list: async (sql, branchId, modelIds) => {
    const rows = await sql<(GalleryRow & { face_count: string })[]>`
      SELECT *, (
        SELECT coalesce(sum(face_count), 0)::bigint FROM enrolments AS e
        WHERE e.branch_ids @> ARRAY[${branchId}] AND e.model_id = galleries.model_id AND e.state = 'ACTIVE') AS face_count
      FROM galleries WHERE branch_id = ${branchId} AND model_id = ANY(${[...modelIds]}::text[]) ORDER BY model_id`;
    return rows.map((row) => Object.assign(toGallery(row), { faceCount: Number(row.face_count) }));
  },

  add: async (tx, galleries) => {
    for (const { branchId, modelId, generation, keyId, state, updateTimeMs } of galleries) {
      await tx`
        INSERT INTO galleries (branch_id, model_id, generation, key_id, state, update_time)
        VALUES (${branchId}, ${modelId}, ${generation}, ${keyId}, ${state}, ${new Date(updateTimeMs)})
        ON CONFLICT (branch_id, model_id) DO NOTHING`;
    }
  },

  holdActive: async (tx, branchIds) => {
    const sorted = branchIds.toSorted();
    await tx`
      INSERT INTO active_galleries (branch_id, revision, told_revision)
      SELECT branch_id, 0, 0 FROM unnest(${sorted}::text[]) AS branch_id ORDER BY branch_id COLLATE "C"
      ON CONFLICT (branch_id) DO NOTHING`;
    await tx`
      SELECT FROM active_galleries WHERE branch_id = ANY(${sorted}::text[]) ORDER BY branch_id FOR UPDATE`;
  },

  beginRenewal: async (sql, { branchId, modelId, generation }, startMs) => {
    await sql`
      INSERT INTO renewals (branch_id, model_id, generation, start_time)
      VALUES (${branchId}, ${modelId}, ${generation}, ${new Date(startMs)}) ON CONFLICT DO NOTHING`;
  },

  renewalStart: async (sql, { branchId, modelId, generation }) => {
    const [row] = await sql<{ start_time: Date }[]>`
      SELECT start_time FROM renewals
      WHERE branch_id = ${branchId} AND model_id = ${modelId} AND generation = ${generation}`;
    return row?.start_time.getTime();
  },

  endRenewal: async (tx, { branchId, modelId, generation, keyId }, nowMs) => {
    await tx`DELETE FROM renewals WHERE branch_id = ${branchId} AND model_id = ${modelId}`;
    await tx`
      UPDATE galleries SET generation = ${generation}, key_id = ${keyId}, update_time = ${new Date(nowMs)}
      WHERE branch_id = ${branchId} AND model_id = ${modelId}`;
  },

  inState: async (sql, branchId, state) => {
    const [row] = await sql<GalleryRow[]>`
      SELECT * FROM galleries WHERE branch_id = ${branchId} AND state = ${state}`;
    return row && toGallery(row);
  },

  withoutActive: async (sql, branchIds) => {
    const rows = await sql<{ branch_id: string }[]>`
      SELECT branch_id FROM galleries WHERE branch_id = ANY(${[...branchIds]}::text[]) AND state = 'ACTIVE'`;
    const active = new Set(rows.map((row) => row.branch_id));
    return branchIds.filter((branchId) => !active.has(branchId));
  },

  setState: async (tx, { branchId, modelId }, state, nowMs) => {
    await tx`
      UPDATE galleries SET state = ${state}, update_time = ${new Date(nowMs)}
      WHERE branch_id = ${branchId} AND model_id = ${modelId}`;
  },

  activeChanged: async (tx, branchId) => {
    await tx`UPDATE active_galleries SET revision = revision + 1 WHERE branch_id = ${branchId}`;
  },

  active: async (sql, branchId) => {
    const [row] = await sql<(GalleryRow & { revision: string })[]>`
      SELECT galleries.*, revision FROM galleries JOIN active_galleries USING (branch_id)
      WHERE branch_id = ${branchId} AND state = 'ACTIVE'`;
    return row && { ...keyedOf(row), revision: Number(row.revision) };
  },

  untold: async (sql, limit) => {
    const rows = await sql<{ branch_id: string }[]>`
      SELECT branch_id FROM active_galleries WHERE told_revision < revision ORDER BY branch_id LIMIT ${limit}`;
    return rows.map((row) => row.branch_id);
  },

  untoldAmong: async (sql, branchIds) => {
    const rows = await sql<{ branch_id: string }[]>`
      SELECT branch_id FROM active_galleries
      WHERE told_revision < revision AND branch_id = ANY(${[...branchIds]}::text[]) ORDER BY branch_id`;
    return rows.map((row) => row.branch_id);
  },

  told: async (sql, branchId, revision) => {
    await sql`
      UPDATE active_galleries SET told_revision = ${revision}
      WHERE branch_id = ${branchId} AND told_revision < ${revision}`;
  },

  forgetTold: async (sql) => {
    await sql`UPDATE active_galleries SET told_revision = 0 WHERE told_revision > 0`;
  },
};

/** The numbers of galleries' locks, each once and in one order for all. */
function lockKeys(sql: Sql, modelId: string, branchIds: readonly string[]) {
  const names = branchIds.map((branchId) => `gallery ${branchId} ${modelId}`);
  return sql`
    SELECT DISTINCT hashtextextended(name, 0) AS key FROM unnest(${names}::text[]) AS name ORDER BY key`;
}

function keyedOf(row: GalleryRow) {
  return { branchId: row.branch_id, modelId: row.model_id, generation: row.generation, keyId: row.key_id };
}

function toGallery(row: GalleryRow): StoredGallery {
  return { ...keyedOf(row), state: row.state, updateTimeMs: row.update_time.getTime() };
}
