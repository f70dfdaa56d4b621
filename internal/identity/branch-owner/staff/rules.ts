import { isRefusal, type Refusal } from "../../../platform/errors/refusal.ts";
import type { Caller } from "../../../platform/identity/caller.ts";
import type { Database } from "../../../platform/postgres/database.ts";
import { refuseField } from "../../../platform/resource/errors.ts";
import { refuse } from "../errors.ts";
import type { BranchRefusal } from "../branch/access.ts";
import type { LockedBranches, Target } from "../branch/locked.ts";
import type { BranchRules } from "../branch/rules.ts";
import type { StoredBranch } from "../branch/store.ts";
import type { PersonStore } from "../person/store.ts";
import type { StaffEntry, StaffRoleName, StaffStore } from "./store.ts";

/** People who work for one branch at most: all of them travel with each event of it. */
const staffMax = 1000;

/** Why it was refused. */
export type StaffRefusal = BranchRefusal | Refusal<"userNotFound" | "fieldInvalid" | "staffNotFound" | "tooManyStaff">;

/** Who works for branches. Changes are announced with the branch, whose version they change. */
export interface StaffRules {
  /** Lets a person work for a branch, or changes what they do. */
  add(caller: Caller, target: Target, userId: string, role: StaffRoleName): Promise<StoredBranch | StaffRefusal>;
  /** Ends a person's work. */
  remove(caller: Caller, target: Target, userId: string): Promise<StoredBranch | StaffRefusal>;
  /** Who works for a branch, after the id `after`, in the order of their ids. */
  list(caller: Caller, branchId: string, after: string, limit: number): Promise<readonly StaffEntry[] | StaffRefusal>;
}

export function createStaffRules(deps: {
  readonly database: Database;
  readonly branches: Pick<BranchRules, "get">;
  readonly locked: LockedBranches;
  readonly people: Pick<PersonStore, "lock">;
  readonly staff: Pick<StaffStore, "standingOf" | "count" | "list" | "save" | "remove">;
}): StaffRules {
  const { database, branches, locked, people, staff } = deps;
  return {
    add: (caller, target, userId, role) =>
      database.transaction(async (tx) => {
        const status = await people.lock(tx, userId);
        const branch = await locked.open(tx, caller, target, "change staff");
        if (isRefusal(branch)) return branch;
        if (branch.ownerId === userId) {
          return refuseField("staff_member.user_id", "owns the branch; name somebody else");
        }
        if (status === undefined || status === "DELETED") return refuse("userNotFound", { user_id: userId });
        const { staffRole } = await staff.standingOf(tx, branch.branchId, userId);
        if (staffRole === role) return branch;
        if (staffRole === undefined && (await staff.count(tx, branch.branchId)) >= staffMax) {
          return refuse("tooManyStaff", { staff_max: `${staffMax}` });
        }
        await staff.save(tx, branch.branchId, userId, role);
        return locked.save(tx, branch);
      }),

    remove: (caller, target, userId) =>
      database.transaction(async (tx) => {
        const branch = await locked.open(tx, caller, target, "change staff");
        if (isRefusal(branch)) return branch;
        if (!(await staff.remove(tx, branch.branchId, userId))) return refuse("staffNotFound", { user_id: userId });
        return locked.save(tx, branch);
      }),

    list: async (caller, branchId, after, limit) => {
      const branch = await branches.get(caller, branchId, "see staff");
      return isRefusal(branch) ? branch : staff.list(database.sql, branchId, after, limit);
    },
  };
}
