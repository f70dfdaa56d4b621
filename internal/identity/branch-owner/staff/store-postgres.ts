import { create } from "@bufbuild/protobuf";
import { StaffMemberSchema, StaffRole } from "../../../gen/muin/identity/v1/branch_pb.ts";
import type { PersonStatus } from "../person/store.ts";
import type { StaffRoleName, StaffStore } from "./store.ts";

/** Staff in PostgreSQL. */
export const postgresStaffStore: StaffStore = {
  standingOf: async (sql, branchId, userId) => {
    const [row] = await sql<{ status: PersonStatus | null; staff_role: StaffRoleName | null }[]>`
      SELECT (SELECT status FROM people WHERE user_id = ${userId}) AS status,
        (SELECT role FROM staff WHERE branch_id = ${branchId} AND user_id = ${userId}) AS staff_role`;
    return { status: row?.status ?? undefined, staffRole: row?.staff_role ?? undefined };
  },

  of: async (sql, branchId) => {
    const rows = await sql<{ user_id: string; role: StaffRoleName }[]>`
      SELECT user_id, role FROM staff WHERE branch_id = ${branchId} ORDER BY user_id`;
    return rows.map(({ user_id, role }) => create(StaffMemberSchema, { userId: user_id, role: StaffRole[role] }));
  },

  list: async (sql, branchId, after, limit) => {
    const rows = await sql<{ user_id: string; role: StaffRoleName; display_name: string }[]>`
      SELECT user_id, role, display_name FROM staff JOIN people USING (user_id)
      WHERE branch_id = ${branchId} AND user_id > ${after} ORDER BY user_id LIMIT ${limit}`;
    return rows.map((row) => ({ userId: row.user_id, role: row.role, displayName: row.display_name }));
  },

  count: async (sql, branchId) => {
    const [row] = await sql<{ count: number }[]>`
      SELECT count(*)::int AS count FROM staff WHERE branch_id = ${branchId}`;
    return row?.count ?? 0;
  },

  ofPerson: async (sql, userId, limit) => {
    const rows = await sql<{ branch_id: string; role: StaffRoleName }[]>`
      SELECT branch_id, role FROM staff WHERE user_id = ${userId} ORDER BY branch_id LIMIT ${limit}`;
    return rows.map(({ branch_id, role }) => ({ branchId: branch_id, role }));
  },

  save: async (tx, branchId, userId, role) => {
    await tx`
      INSERT INTO staff (branch_id, user_id, role) VALUES (${branchId}, ${userId}, ${role})
      ON CONFLICT (branch_id, user_id) DO UPDATE SET role = excluded.role`;
  },

  remove: async (tx, branchId, userId) => {
    const { count } = await tx`DELETE FROM staff WHERE branch_id = ${branchId} AND user_id = ${userId}`;
    return count > 0;
  },
};
