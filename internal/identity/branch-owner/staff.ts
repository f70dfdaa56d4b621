import { StaffRole, type StaffMember } from "../../gen/muin/identity/v1/branch_pb.ts";
import type { Caller } from "../../platform/identity/caller.ts";
import type { Database, Transaction } from "../../platform/postgres/database.ts";
import { fieldInvalid } from "../../platform/resource/errors.ts";
import { etagOf } from "../../platform/resource/etag.ts";
import type { StaffRoleName } from "./branch-access.ts";
import { branchOwnerErrors } from "./errors.ts";
import { statusOf, type BranchStore } from "./store-postgres.ts";

/** People who work for one branch at most: all of them travel with each event of it. */
const staffMax = 1000;

/** What names a branch, and what the caller has seen of it. */
interface Target {
  readonly branchId: string;
  readonly etag: string;
}

/** A person who works for a branch. */
export interface StaffEntry {
  readonly userId: string;
  readonly role: StaffRoleName;
  readonly displayName: string;
}

/** Who works for branches. */
export interface Staff {
  /** Lets a person work for a branch, or changes what they do. Returns the branch's etag. */
  add(caller: Caller, target: Target, member: StaffMember): Promise<string>;
  /** Ends a person's work. Returns the branch's etag. */
  remove(caller: Caller, target: Target, userId: string): Promise<string>;
  /** Who works for a branch, after the id `after`, in the order of their ids. */
  list(caller: Caller, branchId: string, after: string, limit: number): Promise<readonly StaffEntry[]>;
}

/** Makes the rules. */
export function createStaff({ database, store }: { readonly database: Database; readonly store: BranchStore }): Staff {
  return {
    add: async (caller, target, { userId, role }) => {
      const record = await store.change(
        caller,
        { ...target, action: "change staff" },
        async (tx, branch) => {
          if (branch.ownerId === userId) {
            throw fieldInvalid("staff_member.user_id", "owns the branch; name somebody else");
          }
          const status = await statusOf(tx, userId);
          if (status === undefined || status === "DELETED") throw branchOwnerErrors.userNotFound({ user_id: userId });
          const name = nameOf(role);
          const changed = await tx`
            INSERT INTO staff AS s (branch_id, user_id, role) VALUES (${branch.branchId}, ${userId}, ${name})
            ON CONFLICT (branch_id, user_id) DO UPDATE SET role = excluded.role WHERE s.role <> excluded.role`;
          if (changed.count === 0) return undefined;
          const [counted] = await tx<{ count: number }[]>`
            SELECT count(*)::int AS count FROM staff WHERE branch_id = ${branch.branchId}`;
          if ((counted?.count ?? 0) > staffMax) throw branchOwnerErrors.tooManyStaff({ staff_max: `${staffMax}` });
          return branch;
        },
        (tx) => lockPerson(tx, userId),
      );
      return etagOf(record.version);
    },

    remove: async (caller, target, userId) => {
      const record = await store.change(caller, { ...target, action: "change staff" }, async (tx, branch) => {
        const gone = await tx`DELETE FROM staff WHERE branch_id = ${branch.branchId} AND user_id = ${userId}`;
        if (gone.count === 0) throw branchOwnerErrors.staffNotFound({ user_id: userId });
        return branch;
      });
      return etagOf(record.version);
    },

    list: async (caller, branchId, after, limit) => {
      await store.get(caller, branchId, "see staff");
      const rows = await database.sql<{ user_id: string; role: StaffRoleName; display_name: string }[]>`
        SELECT user_id, role, display_name FROM staff JOIN people USING (user_id)
        WHERE branch_id = ${branchId} AND user_id > ${after} ORDER BY user_id LIMIT ${limit}`;
      return rows.map((row) => ({ userId: row.user_id, role: row.role, displayName: row.display_name }));
    },
  };
}

/** Keeps a person from being deleted until the transaction ends. */
async function lockPerson(tx: Transaction, userId: string): Promise<void> {
  await tx`SELECT FROM people WHERE user_id = ${userId} FOR SHARE`;
}

function nameOf(role: StaffRole): StaffRoleName {
  return role === StaffRole.MANAGER ? "MANAGER" : "ATTENDANT"; // Validation lets no other in.
}
