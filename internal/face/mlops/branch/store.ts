import type { Sql, Transaction } from "../../../platform/postgres/database.ts";
import type { EventVersion } from "../../../platform/service/event-version.ts";

/** What is kept of a branch. */
export interface BranchCopy {
  readonly branchId: string;
  readonly ownerId: string;
  /** Staff who manage it. */
  readonly managerIds: readonly string[];
  readonly version: EventVersion;
}

/** Copies of branches, as far as rights need them. */
export interface BranchStore {
  /** Notes a branch, unless what is known of it is as new. */
  put(tx: Transaction, branch: BranchCopy): Promise<void>;
  /** Those of these branches that there are. */
  known(sql: Sql, branchIds: readonly string[]): Promise<readonly string[]>;
  /** Those of these branches that a person owns or manages. */
  managedAmong(sql: Sql, branchIds: readonly string[], userId: string): Promise<readonly string[]>;
  /** Whether a person owns or manages any. */
  managesAny(sql: Sql, userId: string): Promise<boolean>;
}
