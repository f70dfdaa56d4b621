import { StaffRole } from "../../../gen/muin/identity/v1/branch_pb.ts";
import { StaffDataSchema } from "../../../gen/muin/identity/v1/staff_data_pb.ts";
import type { Clock } from "../../../platform/clock/clock.ts";
import type { Database } from "../../../platform/postgres/database.ts";
import { personalData, type PersonalData } from "../../../platform/service/parts.ts";
import { personalJson } from "../../../shared/person/personal-json.ts";
import type { LockedBranches } from "../branch/locked.ts";
import type { BranchStore } from "../branch/store.ts";
import { toOwner } from "../owner/message.ts";
import type { OwnerStore } from "../owner/store.ts";
import type { PersonStore } from "../person/store.ts";
import type { RequestStore } from "../request/store.ts";
import type { StaffStore } from "../staff/store.ts";

/** Of each kind of data, a copy holds at most so many. */
const exportedMax = 1000;

/**
 * All that branch-owner holds of a person: a copy of it is a StaffData as JSON; erased, nothing but the id is left, the person works
 * nowhere any more, and what they own is closed.
 */
export function createPersonalData(deps: {
  readonly database: Pick<Database, "sql">;
  readonly people: Pick<PersonStore, "displayNameOf" | "erase">;
  readonly owners: Pick<OwnerStore, "find" | "erase">;
  readonly branches: Pick<BranchStore, "idsOfOwner" | "lockOf">;
  readonly staff: Pick<StaffStore, "ofPerson" | "remove">;
  readonly locked: Pick<LockedBranches, "save">;
  readonly requests: Pick<RequestStore, "forgetPrincipal">;
  readonly clock: Pick<Clock, "now">;
}): PersonalData {
  const { database, people, owners, branches, staff, locked, requests, clock } = deps;
  return personalData({
    exportOf: async (userId) => {
      const { sql } = database;
      const displayName = await people.displayNameOf(sql, userId);
      if (displayName === undefined) return undefined;
      const owner = await owners.find(sql, userId);
      const branchIds = await branches.idsOfOwner(sql, userId, exportedMax);
      const memberships = await staff.ofPerson(sql, userId, exportedMax);
      return personalJson(StaffDataSchema, {
        displayName,
        ...(owner === undefined ? {} : { owner: toOwner(owner) }),
        branchIds: [...branchIds],
        memberships: memberships.map(({ branchId, role }) => ({ branchId, role: StaffRole[role] })),
      });
    },

    erase: async (tx, userId) => {
      await people.erase(tx, userId);
      await owners.erase(tx, userId, clock.now());
      await requests.forgetPrincipal(tx, `person:${userId}`);
      // Closed ones too: who reopens one at this moment holds its lock, and it is closed again.
      for (const branch of await branches.lockOf(tx, userId)) {
        const worked = await staff.remove(tx, branch.branchId, userId);
        const isRun = branch.ownerId === userId && branch.state === "ACTIVE";
        if (worked || isRun) await locked.save(tx, { ...branch, state: isRun ? "CLOSED" : branch.state });
      }
    },
  });
}
