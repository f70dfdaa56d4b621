import type { BranchStore } from "./store.ts";

/** Copies of branches in PostgreSQL. */
export const postgresBranchStore: BranchStore = {
  put: async (tx, { branchId, ownerId, managerIds, version: { epoch, version } }) => {
    await tx`
      INSERT INTO branches AS b (branch_id, owner_id, managers, epoch, version)
      VALUES (${branchId}, ${ownerId}, ${[...managerIds]}::text[], ${epoch}, ${version.toString()})
      ON CONFLICT (branch_id) DO UPDATE SET owner_id = excluded.owner_id, managers = excluded.managers,
        epoch = excluded.epoch, version = excluded.version
      WHERE (b.epoch, b.version) < (excluded.epoch, excluded.version)`;
  },

  known: async (sql, branchIds) => {
    const rows = await sql<{ branch_id: string }[]>`
      SELECT branch_id FROM branches WHERE branch_id = ANY(${[...branchIds]}::text[])`;
    return rows.map((row) => row.branch_id);
  },

  managedAmong: async (sql, branchIds, userId) => {
    if (userId === "") return [];
    const rows = await sql<{ branch_id: string }[]>`
      SELECT branch_id FROM branches
      WHERE branch_id = ANY(${[...branchIds]}::text[]) AND (owner_id = ${userId} OR managers @> ARRAY[${userId}])`;
    return rows.map((row) => row.branch_id);
  },

  managesAny: async (sql, userId) => {
    if (userId === "") return false;
    const rows = await sql`
      SELECT FROM branches WHERE owner_id = ${userId} OR managers @> ARRAY[${userId}] LIMIT 1`;
    return rows.length > 0;
  },
};
