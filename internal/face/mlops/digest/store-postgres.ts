import type { DigestStore } from "./store.ts";

/** Digests in PostgreSQL. */
export const postgresDigestStore: DigestStore = {
  record: async (tx, enrolmentId, { branchId, modelId, generation }, digest) => {
    await tx`
      INSERT INTO template_digests (branch_id, model_id, generation, enrolment_id, digest)
      VALUES (${branchId}, ${modelId}, ${generation}, ${enrolmentId}, ${digest})
      ON CONFLICT (branch_id, model_id, generation, enrolment_id) DO UPDATE SET digest = excluded.digest`;
  },

  of: async (sql, { branchId, modelId, generation }, enrolmentIds) => {
    if (enrolmentIds.length === 0) return new Map();
    const rows = await sql<{ enrolment_id: string; digest: Uint8Array }[]>`
      SELECT enrolment_id, digest FROM template_digests
      WHERE branch_id = ${branchId} AND model_id = ${modelId} AND generation = ${generation}
        AND enrolment_id = ANY(${[...enrolmentIds]}::text[])`;
    return new Map(rows.map((row) => [row.enrolment_id, new Uint8Array(row.digest)]));
  },

  forgetBefore: async (tx, { branchId, modelId, generation }) => {
    await tx`
      DELETE FROM template_digests
      WHERE branch_id = ${branchId} AND model_id = ${modelId} AND generation < ${generation}`;
  },
};
