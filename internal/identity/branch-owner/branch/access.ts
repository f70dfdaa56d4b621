import type { Caller } from "../../../platform/identity/caller.ts";
import { hasScope, personIdOf } from "../../../platform/resource/caller-scopes.ts";
import type { PersonStatus } from "../person/store.ts";
import type { Standing } from "../staff/store.ts";

/** What is done with a branch. */
export type BranchAction = "see" | "change" | "see staff" | "change staff" | "transfer";

/** Why a branch was refused: the reason that the caller gets. */
export type BranchRefusal = "ACCOUNT_SUSPENDED" | "BRANCH_FORBIDDEN" | "BRANCH_NOT_FOUND" | "ETAG_MISMATCH";

/** What a caller is to a branch. */
type Relation = "administrator" | "reader" | "owner" | "manager" | "attendant";

const allowed: Readonly<Record<BranchAction, readonly Relation[]>> = {
  see: ["administrator", "reader", "owner", "manager", "attendant"],
  change: ["administrator", "owner", "manager"],
  "see staff": ["administrator", "reader", "owner", "manager"],
  "change staff": ["administrator", "owner"],
  transfer: ["administrator"],
};

/** Whether the caller may change every branch. */
export function managesAll(caller: Caller): boolean {
  return hasScope(caller, "branches.manage");
}

/** Whether the caller may see every branch. */
export function seesAll(caller: Caller): boolean {
  return managesAll(caller) || hasScope(caller, "branches.read");
}

/** Whether a person can do nothing here: suspended or deleted. `undefined`: nothing is known of them here yet. */
export function isBarred(status: PersonStatus | undefined): boolean {
  return status !== undefined && status !== "ACTIVE";
}

/**
 * Why the caller, of that standing, may not do it with a branch; `undefined` when they may. Of a branch that does not exist
 * (`undefined`) nobody is owner or staff: that there is none is told only to those who may do it with all.
 */
export function refusalOf(
  caller: Caller,
  branch: { readonly ownerId: string } | undefined,
  standing: Standing,
  action: BranchAction,
): BranchRefusal | undefined {
  if (isBarred(standing.status)) return "ACCOUNT_SUSPENDED";
  const relations: Relation[] = [];
  if (managesAll(caller)) relations.push("administrator");
  if (seesAll(caller)) relations.push("reader");
  if (branch !== undefined && branch.ownerId === personIdOf(caller)) relations.push("owner");
  if (standing.staffRole !== undefined) relations.push(standing.staffRole === "MANAGER" ? "manager" : "attendant");
  if (!relations.some((relation) => allowed[action].includes(relation))) return "BRANCH_FORBIDDEN";
  return branch === undefined ? "BRANCH_NOT_FOUND" : undefined;
}
