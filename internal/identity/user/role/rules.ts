import type { RoleAssignment } from "../../../gen/muin/identity/v1/user_pb.ts";
import { fieldInvalid } from "../../../platform/resource/errors.ts";
import { refuse } from "../errors.ts";
import { inOrder, roleNames, type AssignedRole, type Change, type Person } from "../person/person.ts";

/** Roles that one person may have: one in each of many branches. */
const rolesMax = 100;

/** A role that there can be. Throws INVALID_ARGUMENT, reason FIELD_INVALID, otherwise. */
export function assignedRoleOf({ role, branchId }: RoleAssignment): AssignedRole {
  const name = roleNames.get(role);
  if (name === undefined) throw fieldInvalid("assignment.role", "must be a role");
  if (!/^[!-~]*$/.test(branchId)) throw fieldInvalid("assignment.branch_id", "must be the id of a branch");
  if (branchId !== "" && (name === "ADMINISTRATOR" || name === "OWNER")) {
    throw fieldInvalid("assignment.branch_id", `must be empty: ROLE_${name} holds everywhere`);
  }
  return { role: name, branchId };
}

/** Gives a role; who has it keeps it. */
export function roleGiven(assigned: AssignedRole): Change {
  return (before) => {
    if (hasRole(before, assigned)) return before;
    if (before.roles.length >= rolesMax) return refuse("tooManyRoles", { roles_max: `${rolesMax}` });
    return { ...before, roles: inOrder([...before.roles, assigned]) };
  };
}

/** Takes a role; who does not have it does not miss it. */
export function roleTaken(assigned: AssignedRole): Change {
  return (before) => ({ ...before, roles: before.roles.filter((each) => !isSame(each, assigned)) });
}

function hasRole({ roles }: Person, assigned: AssignedRole): boolean {
  return roles.some((each) => isSame(each, assigned));
}

function isSame(a: AssignedRole, b: AssignedRole): boolean {
  return a.role === b.role && a.branchId === b.branchId;
}
