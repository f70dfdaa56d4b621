import type { Caller } from "../../platform/identity/caller.ts";
import { hasScope, personIdOf } from "../../platform/resource/caller-scopes.ts";
import { branchOwnerErrors } from "./errors.ts";

/** What is done with a branch. */
export type BranchAction = "see" | "change" | "see staff" | "change staff" | "transfer";

/** What a caller is to a branch. */
type Relation = "administrator" | "reader" | "owner" | "manager" | "attendant";

const allowed: Readonly<Record<BranchAction, readonly Relation[]>> = {
  see: ["administrator", "reader", "owner", "manager", "attendant"],
  change: ["administrator", "owner", "manager"],
  "see staff": ["administrator", "reader", "owner", "manager"],
  "change staff": ["administrator", "owner"],
  transfer: ["administrator"],
};

/** Roles of staff in the words of the database. */
export type StaffRoleName = "MANAGER" | "ATTENDANT";

/** The status of a person in the words of the database. */
export type PersonStatus = "ACTIVE" | "SUSPENDED" | "DELETED";

/** Whether the caller may change every branch. */
export function managesAll(caller: Caller): boolean {
  return hasScope(caller, "branches.manage");
}

/** Whether the caller may see every branch. */
export function seesAll(caller: Caller): boolean {
  return managesAll(caller) || hasScope(caller, "branches.read");
}

/** Throws PERMISSION_DENIED for a person who is suspended or deleted. `undefined`: nothing is known of them here yet. */
export function checkStatus(status: PersonStatus | undefined): void {
  if (status !== undefined && status !== "ACTIVE") throw branchOwnerErrors.accountSuspended();
}

/** Throws PERMISSION_DENIED unless the caller may do it; of a branch that does not exist (`undefined`) nobody is owner or staff. */
export function checkAccess(
  caller: Caller,
  branch: { readonly ownerId: string; readonly staffRole: StaffRoleName | undefined } | undefined,
  action: BranchAction,
): void {
  const relations: Relation[] = [];
  if (managesAll(caller)) relations.push("administrator");
  if (seesAll(caller)) relations.push("reader");
  if (branch !== undefined && branch.ownerId === personIdOf(caller)) relations.push("owner");
  if (branch?.staffRole !== undefined) relations.push(branch.staffRole === "MANAGER" ? "manager" : "attendant");
  if (!relations.some((relation) => allowed[action].includes(relation))) throw branchOwnerErrors.branchForbidden();
}
