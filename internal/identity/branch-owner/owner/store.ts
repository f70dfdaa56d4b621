import type { Sql, Transaction } from "../../../platform/postgres/database.ts";

/** Somebody who owns branches, or may. Times are in milliseconds since the Unix epoch. */
export interface StoredOwner {
  readonly userId: string;
  readonly displayName: string;
  readonly companyName: string;
  readonly contactEmail: string;
  readonly contactPhoneNumber: string;
  /** Grows with every change. */
  readonly version: number;
  readonly createTimeMs: number;
  readonly updateTimeMs: number;
}

/** Owners. Deleted people are none. */
export interface OwnerStore {
  find(sql: Sql, userId: string): Promise<StoredOwner | undefined>;
  /** Owners after the id `after`, in the order of their ids. */
  list(sql: Sql, after: string, limit: number): Promise<readonly StoredOwner[]>;
  /** The same as `find`; until the transaction ends the owner is not changed or deleted, and gets no branch from elsewhere. */
  lock(tx: Transaction, userId: string): Promise<StoredOwner | undefined>;
  /** Adds an owner whose person is there; their name is the person's. False when they are one already. */
  add(tx: Transaction, owner: Omit<StoredOwner, "displayName">): Promise<boolean>;
  /** Saves what an owner says of themself. */
  save(tx: Transaction, owner: StoredOwner): Promise<void>;
  /** Leaves nothing of an owner but the id. */
  erase(tx: Transaction, userId: string, nowMs: number): Promise<void>;
}
