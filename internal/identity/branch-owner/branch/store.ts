import type { Branch } from "../../../gen/muin/identity/v1/branch_pb.ts";
import type { Sql, Transaction } from "../../../platform/postgres/database.ts";

/** The states in the words of the database. */
export type BranchStateName = "ACTIVE" | "CLOSED";

/** A branch as the database knows it. Times are in milliseconds since the Unix epoch. */
export interface StoredBranch {
  readonly branchId: string;
  readonly ownerId: string;
  readonly state: BranchStateName;
  /** What its people say of it, as `contentOf` makes it, and nothing else. */
  readonly content: Branch;
  /** Grows with every change of the branch or its staff. */
  readonly version: number;
  readonly createTimeMs: number;
  readonly updateTimeMs: number;
}

/** Which branches to list. Empty fields and `undefined` do not restrict. */
export interface BranchQuery {
  /** Only those that this person owns or works for. */
  readonly personId: string | undefined;
  readonly ownerId: string;
  readonly state: BranchStateName | undefined;
  readonly facility: string;
  readonly countryCode: string;
  readonly locality: string;
}

/** Branches. What a method with `tx` locks stays locked until that transaction ends. */
export interface BranchStore {
  find(sql: Sql, branchId: string): Promise<StoredBranch | undefined>;
  lock(tx: Transaction, branchId: string): Promise<StoredBranch | undefined>;
  /** Branches after the id `after`, in the order of their ids. */
  list(sql: Sql, query: BranchQuery, after: string, limit: number): Promise<readonly StoredBranch[]>;
  /** The same, whichever they are, locked. */
  lockPage(tx: Transaction, after: string, limit: number): Promise<readonly StoredBranch[]>;
  /** Locks the branches that a person owns or works for, in the order of their ids. */
  lockOf(tx: Transaction, userId: string): Promise<readonly StoredBranch[]>;
  /** Ids of branches that a person owns, in their order. */
  idsOfOwner(sql: Sql, ownerId: string, limit: number): Promise<readonly string[]>;
  /** How many branches a person owns, closed ones included. */
  countOfOwner(sql: Sql, ownerId: string): Promise<number>;
  add(tx: Transaction, branch: StoredBranch): Promise<void>;
  /** Saves a locked branch. */
  save(tx: Transaction, branch: StoredBranch): Promise<void>;
}
