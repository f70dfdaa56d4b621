import type { Caller } from "../../platform/identity/caller.ts";
import { accountSuspended, branchForbidden } from "./errors.ts";

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

/** The caller's id where they are a person; "" otherwise, which is nobody's. */
export function personIdOf(caller: Caller): string {
  return caller.kind === "person" ? caller.id : "";
}

/** Whether the caller may change every branch. */
export function managesAll(caller: Caller): boolean {
  return "scopes" in caller && caller.scopes.has("branches.manage");
}

/** Whether the caller may see every branch. */
export function seesAll(caller: Caller): boolean {
  return managesAll(caller) || ("scopes" in caller && caller.scopes.has("branches.read"));
}

/** Throws PERMISSION_DENIED for a person who is suspended or deleted. `undefined`: nothing is known of them here yet. */
export function checkStatus(status: PersonStatus | undefined): void {
  if (status !== undefined && status !== "ACTIVE") throw accountSuspended();
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
  if (!relations.some((relation) => allowed[action].includes(relation))) throw branchForbidden();
}
