import type { ServiceImpl } from "@connectrpc/connect";
import { StaffRole } from "../../gen/muin/identity/v1/branch_pb.ts";
import type { StaffDataService } from "../../gen/muin/identity/v1/staff_data_service_pb.ts";
import type { Database } from "../../platform/postgres/database.ts";
import type { StaffRoleName } from "./branch-access.ts";
import { findOwner } from "./owner.ts";

/** Of each kind of data, a copy holds at most so many. */
const exportedMax = 1000;

/** Serves what is kept of a person, to the service that copies it for them. */
export function createStaffDataHandlers({ sql }: Pick<Database, "sql">): ServiceImpl<typeof StaffDataService> {
  return {
    exportStaffData: async ({ userId }) => {
      const [person] = await sql<{ display_name: string }[]>`
        SELECT display_name FROM people WHERE user_id = ${userId.replaceAll("\0", " ")} AND status <> 'DELETED'`;
      if (person === undefined) return {};
      const owner = await findOwner(sql, userId);
      const branches = await sql<{ branch_id: string }[]>`
        SELECT branch_id FROM branches WHERE owner_id = ${userId} ORDER BY branch_id LIMIT ${exportedMax}`;
      const memberships = await sql<{ branch_id: string; role: StaffRoleName }[]>`
        SELECT branch_id, role FROM staff WHERE user_id = ${userId} ORDER BY branch_id LIMIT ${exportedMax}`;
      return {
        staff: {
          displayName: person.display_name,
          ...(owner === undefined ? {} : { owner }),
          branchIds: branches.map(({ branch_id }) => branch_id),
          memberships: memberships.map(({ branch_id, role }) => ({ branchId: branch_id, role: StaffRole[role] })),
        },
      };
    },
  };
}
