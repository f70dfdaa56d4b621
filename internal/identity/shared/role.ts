import { Role as AssignedRole } from "../../gen/muin/identity/v1/user_pb.ts";
import { scopes, type Scope } from "../../gen/scopes.ts";

/** What each role may do, where it holds everywhere. An owner needs no scope: branch-owner knows which branches are theirs. */
const scopesByRole = {
  administrator: scopes,
  owner: [],
  helper: [],
  member: [],
} as const satisfies Record<string, readonly Scope[]>;

/** What a person is, to Muin. */
export type Role = keyof typeof scopesByRole;

/** The scopes of roles, each once, in the order of `scopes`. A role that is not known (any more) gives none. */
export function scopesOf(roles: readonly string[]): readonly string[] {
  const given = new Set(roles.flatMap((role): readonly string[] => (isRole(role) ? scopesByRole[role] : [])));
  return scopes.filter((scope) => given.has(scope));
}

/** The roles that give a scope. */
export function rolesGiving(scope: Scope): readonly string[] {
  return Object.entries<readonly string[]>(scopesByRole).flatMap(([role, given]) =>
    given.includes(scope) ? [role] : [],
  );
}

/** What a role of the protos is called here; `undefined` for one that this version does not know. */
export function roleOf(role: AssignedRole): Role | undefined {
  switch (role) {
    case AssignedRole.ADMINISTRATOR:
      return "administrator";
    case AssignedRole.OWNER:
      return "owner";
    case AssignedRole.HELPER:
      return "helper";
    case AssignedRole.MEMBER:
      return "member";
    case AssignedRole.UNSPECIFIED:
    default:
      return undefined;
  }
}

function isRole(name: string): name is Role {
  return Object.hasOwn(scopesByRole, name);
}
