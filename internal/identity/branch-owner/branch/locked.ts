import type { Clock } from "../../../platform/clock/clock.ts";
import { BranchUpdatedSchema } from "../../../gen/muin/identity/v1/branch_events_pb.ts";
import type { Caller } from "../../../platform/identity/caller.ts";
import type { Transaction } from "../../../platform/postgres/database.ts";
import { personIdOf } from "../../../platform/resource/caller-scopes.ts";
import { etagOf, isCurrent } from "../../../platform/resource/etag.ts";
import { refuse } from "../errors.ts";
import { announceBranch, type BranchPublish } from "../events.ts";
import type { StaffStore } from "../staff/store.ts";
import { refusalOf, type BranchAction, type BranchRefusal } from "./access.ts";
import type { BranchStore, StoredBranch } from "./store.ts";

/** Which branch to change, and the etag that it must have; empty for whatever it is. */
export interface Target {
  readonly branchId: string;
  readonly etag: string;
}

/**
 * Branches inside a transaction: opened for a caller, saved with their event. Locks are taken in one order: a person, an owner,
 * branches by their ids.
 */
export interface LockedBranches {
  /** Locks a branch for a caller who may do the action with it as it is now. */
  open(tx: Transaction, caller: Caller, target: Target, action: BranchAction): Promise<StoredBranch | BranchRefusal>;
  /** Saves a locked branch, or what has changed of its staff, as its next version, and records BranchUpdated. */
  save(tx: Transaction, branch: StoredBranch): Promise<StoredBranch>;
}

export function createLockedBranches(deps: {
  readonly branches: Pick<BranchStore, "lock" | "save">;
  readonly staff: Pick<StaffStore, "standingOf" | "of">;
  readonly publish: BranchPublish;
  readonly clock: Pick<Clock, "now">;
}): LockedBranches {
  const { branches, staff, publish, clock } = deps;
  return {
    open: async (tx, caller, { branchId, etag }, action) => {
      const branch = await branches.lock(tx, branchId);
      // After the lock, so that what was waited for is seen.
      const standing = await staff.standingOf(tx, branchId, personIdOf(caller));
      const refusal = refusalOf(caller, branchId, branch, standing, action);
      if (branch === undefined || refusal !== undefined)
        return refusal ?? refuse("branchNotFound", { branch_id: branchId });
      if (!isCurrent(etag, etagOf(branch.version))) return refuse("etagMismatch", { resource: `branch ${branchId}` });
      return branch;
    },

    save: async (tx, changed) => {
      const branch = { ...changed, version: changed.version + 1, updateTimeMs: clock.now() };
      await branches.save(tx, branch);
      await announceBranch(tx, publish, BranchUpdatedSchema, branch, await staff.of(tx, branch.branchId));
      return branch;
    },
  };
}
