// @generated from the policies in proto/muin
/* eslint-disable */

/** Every scope that a policy names, by name. */
export const scopes = [
  "audit.read",
  "branches.manage",
  "branches.read",
  "counts.manage",
  "counts.read",
  "counts.write",
  "devices.manage",
  "entries.read",
  "faces.manage",
  "faces.read",
  "keys.manage",
  "operations.manage",
  "operations.read",
  "passes.manage",
  "scopes.manage",
  "services.manage",
  "users.manage",
  "users.read"
] as const;

/** One of them. */
export type Scope = (typeof scopes)[number];
