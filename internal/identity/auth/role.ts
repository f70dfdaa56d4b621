/** Every scope that a policy asks for. */
export const scopes = [
  "counts.read",
  "counts.write",
  "counts.manage",
  "keys.manage",
  "operations.read",
  "operations.manage",
] as const;

/** What each role may do. */
const scopesByRole = {
  administrator: scopes,
  member: [],
} as const satisfies Record<string, readonly string[]>;

/** What a person is, to Muin. */
export type Role = keyof typeof scopesByRole;

/** The scopes of roles, each once, in the order of `scopes`. A role that is not known (any more) gives none. */
export function scopesOf(roles: readonly string[]): readonly string[] {
  const given = new Set(roles.flatMap((role): readonly string[] => (isRole(role) ? scopesByRole[role] : [])));
  return scopes.filter((scope) => given.has(scope));
}

function isRole(name: string): name is Role {
  return Object.hasOwn(scopesByRole, name);
}
