import type { ModelStore, StoredModel } from "./store.ts";

interface ModelRow {
  readonly model_id: string;
  readonly display_name: string;
  readonly dimensions: number;
  readonly mean: Uint8Array;
  readonly threshold: number;
  readonly margin: number;
  readonly duplicate_threshold: number;
  readonly target_false_positive_rate: number;
  readonly revision: string;
  readonly create_time: Date;
}

/** Face models in PostgreSQL. */
export const postgresModelStore: ModelStore = {
  find: async (sql, modelId) => {
    const [row] = await sql<ModelRow[]>`SELECT * FROM models WHERE model_id = ${modelId}`;
    return row && toModel(row);
  },

  lock: async (tx, modelId) => {
    const [row] = await tx<ModelRow[]>`SELECT * FROM models WHERE model_id = ${modelId} FOR NO KEY UPDATE`;
    return row && toModel(row);
  },

  list: async (sql, after, limit) => {
    const rows = await sql<ModelRow[]>`
      SELECT * FROM models WHERE model_id > ${after} ORDER BY model_id LIMIT ${limit}`;
    return rows.map(toModel);
  },

  add: async (tx, model) => {
    const { count } = await tx`
      INSERT INTO models (model_id, display_name, dimensions, mean, threshold, margin, duplicate_threshold,
        target_false_positive_rate, revision, create_time)
      VALUES (${model.modelId}, ${model.displayName}, ${model.dimensions}, ${model.mean}, ${model.threshold},
        ${model.margin}, ${model.duplicateThreshold}, ${model.targetFalsePositiveRate}, ${model.revision},
        ${new Date(model.createTimeMs)})
      ON CONFLICT (model_id) DO NOTHING`;
    return count > 0;
  },

  calibrate: async (tx, model) => {
    await tx`
      UPDATE models SET threshold = ${model.threshold}, margin = ${model.margin},
        duplicate_threshold = ${model.duplicateThreshold},
        target_false_positive_rate = ${model.targetFalsePositiveRate}, revision = ${model.revision}
      WHERE model_id = ${model.modelId}`;
  },

  untold: async (sql, limit) => {
    const rows = await sql<{ model_id: string }[]>`
      SELECT model_id FROM models WHERE told_revision < revision ORDER BY model_id LIMIT ${limit}`;
    return rows.map((row) => row.model_id);
  },

  told: async (sql, modelId, revision) => {
    await sql`UPDATE models SET told_revision = ${revision} WHERE model_id = ${modelId} AND told_revision < ${revision}`;
  },

  forgetTold: async (sql) => {
    await sql`UPDATE models SET told_revision = 0 WHERE told_revision > 0`;
  },
};

function toModel(row: ModelRow): StoredModel {
  return {
    modelId: row.model_id,
    displayName: row.display_name,
    dimensions: row.dimensions,
    mean: new Uint8Array(row.mean),
    threshold: row.threshold,
    margin: row.margin,
    duplicateThreshold: row.duplicate_threshold,
    targetFalsePositiveRate: row.target_false_positive_rate,
    revision: Number(row.revision),
    createTimeMs: row.create_time.getTime(),
  };
}
