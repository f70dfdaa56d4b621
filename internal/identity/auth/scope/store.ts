import type { Sql, Transaction } from "../../../platform/postgres/database.ts";

/** A role as it is assigned: everywhere, or in one branch. */
export interface AssignedRole {
  readonly role: string;
  /** Empty: everywhere. */
  readonly branchId: string;
}

/** Roles of people, and scopes that were given to them beside those of their roles. */
export interface ScopeStore {
  /** The roles that a person has everywhere, and the scopes that were given to them; both in no order. */
  find(on: Sql, userId: string): Promise<{ readonly roles: readonly string[]; readonly granted: readonly string[] }>;
  /** Gives scopes. Returns those that the person had not been given before. The account's row must be locked. */
  grant(tx: Transaction, userId: string, scopes: readonly string[], nowMs: number): Promise<readonly string[]>;
  /** Takes scopes back. Returns those that the person had been given. The account's row must be locked. */
  revoke(tx: Transaction, userId: string, scopes: readonly string[]): Promise<readonly string[]>;
  /** Replaces all roles of a person; one that is named twice is assigned once. The account's row must be locked. */
  setRoles(tx: Transaction, userId: string, roles: readonly AssignedRole[], nowMs: number): Promise<void>;
  /** Who has the role everywhere, is not suspended, and has had an account the longest; the account's row is locked. */
  lockFirstActive(tx: Transaction, role: string): Promise<string | undefined>;
  /** Whether anybody has the role. */
  isAssigned(on: Sql, role: string): Promise<boolean>;
}
