import type { Sql, Transaction } from "../../../platform/postgres/database.ts";

/** An entry pass that was issued, without the pass itself. Times in milliseconds since 1970. */
export interface IssuedPass {
  readonly passId: string;
  /** `undefined` once the person is erased. */
  readonly userId: string | undefined;
  readonly branchId: string;
  readonly issueTimeMs: number;
  readonly expireTimeMs: number;
  readonly revokeTimeMs: number | undefined;
}

/** Entry passes. Those of a person are added under the lock of their account. */
export interface EntryPassStore {
  /** Adds a pass at version 1. */
  insert(tx: Transaction, pass: Omit<IssuedPass, "revokeTimeMs"> & { readonly userId: string }): Promise<void>;
  /** Of a person's passes that have not ended by their time: how many there are, and how many of them were not revoked. */
  count(tx: Transaction, userId: string, nowMs: number): Promise<{ readonly unended: number; readonly alive: number }>;
  /** The pass, its row locked. */
  lock(tx: Transaction, passId: string): Promise<IssuedPass | undefined>;
  /** A person's passes that are alive, their rows locked, in the order of their ids. */
  lockAlive(tx: Transaction, userId: string, nowMs: number): Promise<readonly IssuedPass[]>;
  /** Revokes a pass whose row is locked. Returns its version then. */
  revoke(tx: Transaction, passId: string, nowMs: number): Promise<bigint>;
  /** A person's passes, newest first. */
  listOfPerson(on: Sql, userId: string, limit: number): Promise<readonly IssuedPass[]>;
  /** Removes at most `rowsMax` passes that ended by their time before `endedBeforeMs`. */
  prune(tx: Transaction, endedBeforeMs: number, rowsMax: number): Promise<void>;
}
