import type { ScopeStore } from "./store.ts";

/** Roles and scopes of people in PostgreSQL. */
export const postgresScopeStore: ScopeStore = {
  find: async (on, userId) => {
    const [row] = await on<{ roles: string[]; granted: string[] }[]>`
      SELECT ARRAY(SELECT role FROM role_assignments WHERE user_id = ${userId} AND branch_id = '') AS roles,
        ARRAY(SELECT scope FROM scope_grants WHERE user_id = ${userId}) AS granted`;
    return row ?? { roles: [], granted: [] };
  },

  grant: async (tx, userId, scopes, nowMs) => {
    const rows = await tx<{ scope: string }[]>`
      INSERT INTO scope_grants (user_id, scope, create_time)
      SELECT ${userId}, scope, ${new Date(nowMs)} FROM unnest(${[...scopes]}::text[]) AS scope
      ON CONFLICT DO NOTHING RETURNING scope`;
    return rows.map(({ scope }) => scope);
  },

  revoke: async (tx, userId, scopes) => {
    const rows = await tx<{ scope: string }[]>`
      DELETE FROM scope_grants WHERE user_id = ${userId} AND scope = ANY(${[...scopes]}::text[]) RETURNING scope`;
    return rows.map(({ scope }) => scope);
  },

  setRoles: async (tx, userId, roles, nowMs) => {
    await tx`DELETE FROM role_assignments WHERE user_id = ${userId}`;
    for (const { role, branchId } of roles) {
      await tx`
        INSERT INTO role_assignments (user_id, role, branch_id, create_time)
        VALUES (${userId}, ${role}, ${branchId}, ${new Date(nowMs)}) ON CONFLICT DO NOTHING`;
    }
  },

  lockFirstActive: async (tx, role) => {
    const [row] = await tx<{ user_id: string }[]>`
      SELECT accounts.user_id FROM accounts JOIN role_assignments USING (user_id)
      WHERE role = ${role} AND branch_id = '' AND status = 'ACTIVE'
      ORDER BY accounts.create_time, accounts.user_id LIMIT 1 FOR UPDATE OF accounts`;
    return row?.user_id;
  },

  isAssigned: async (on, role) => {
    const rows = await on`SELECT 1 FROM role_assignments WHERE role = ${role} LIMIT 1`;
    return rows.length > 0;
  },
};
