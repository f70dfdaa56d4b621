import type { Refusal } from "../../../platform/errors/refusal.ts";
import type { Caller } from "../../../platform/identity/caller.ts";
import { hasScope, personIdOf } from "../../../platform/resource/caller-scopes.ts";
import { refuse } from "../errors.ts";
import type { PersonStatus } from "../person/store.ts";
import type { Standing } from "../staff/store.ts";

/** What is done with a branch. */
export type BranchAction = "see" | "change" | "see staff" | "change staff" | "transfer";

/** Why a branch was refused. */
export type BranchRefusal = Refusal<"accountSuspended" | "branchForbidden" | "branchNotFound" | "etagMismatch">;

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
 * Why the caller, of that standing, may not do it with the branch of an id; `undefined` when they may. Of a branch that does not exist
 * (`undefined`) nobody is owner or staff: that there is none is told only to those who may do it with all.
 */
export function refusalOf(
  caller: Caller,
  branchId: string,
  branch: { readonly ownerId: string } | undefined,
  standing: Standing,
  action: BranchAction,
): BranchRefusal | undefined {
  if (isBarred(standing.status)) return refuse("accountSuspended");
  const relations: Relation[] = [];
  if (managesAll(caller)) relations.push("administrator");
  if (seesAll(caller)) relations.push("reader");
  if (branch !== undefined && branch.ownerId === personIdOf(caller)) relations.push("owner");
  if (standing.staffRole !== undefined) relations.push(standing.staffRole === "MANAGER" ? "manager" : "attendant");
  if (!relations.some((relation) => allowed[action].includes(relation))) return refuse("branchForbidden");
  return branch === undefined ? refuse("branchNotFound", { branch_id: branchId }) : undefined;
}
