import type { EventVersion } from "../../../platform/service/event-version.ts";
import type { Sql, Transaction } from "../../../platform/postgres/database.ts";

/** An account as it is added. */
export interface AccountRow {
  readonly userId: string;
  /** Normalised. */
  readonly email: string;
  readonly displayName: string;
  /** Argon2id, as a PHC string. */
  readonly passwordHash: string;
  /** Role that the person has from the beginning, everywhere. */
  readonly role: string;
  readonly createTimeMs: number;
}

/** An account as it stands. */
export interface Account {
  readonly userId: string;
  readonly email: string;
  readonly displayName: string;
  readonly passwordHash: string;
  readonly isSuspended: boolean;
  readonly isEmailVerified: boolean;
  /** When it was shown that the person reads mail to the address; `undefined` only for an account from before that was asked for. */
  readonly emailVerifyTimeMs: number | undefined;
  /** When it goes unless the address is proven by then; `undefined` for an account that began with a proof. */
  readonly proveByTimeMs: number | undefined;
  readonly createTimeMs: number;
  /** `aggregate_version` of the account's events. */
  readonly version: bigint;
  /** Roles that UserCreated told. */
  readonly signUpRoles: readonly string[];
  /** Epoch and `aggregate_version` of the event that the status comes from; 0 before the first. */
  readonly statusVersion: EventVersion;
}

/** Accounts. The row of an account is the lock of all that belongs to it: sessions, factors, tokens and scopes change under it. */
export interface AccountStore {
  /** Adds an account, whose address is proven, at version 1 with its role; false, without effect, when the address has one. Leaves the row locked. */
  insert(tx: Transaction, account: AccountRow): Promise<boolean>;
  findByEmail(on: Sql, email: string): Promise<Account | undefined>;
  find(on: Sql, userId: string): Promise<Account | undefined>;
  /** The account, its row locked: no other transaction changes or locks it meanwhile. */
  lock(tx: Transaction, userId: string): Promise<Account | undefined>;
  /** Whether there is the account, which then stays there until the transaction ends; others may look at it and hold it too. */
  hold(tx: Transaction, userId: string): Promise<boolean>;
  /** Replaces the hash of the password: of a new one, changed at `nowMs`, or of the same one, hashed anew, when that is absent. */
  setPasswordHash(tx: Transaction, userId: string, passwordHash: string, nowMs?: number): Promise<void>;
  /** Marks the address as verified; a mark that is there stays as it is. */
  verifyEmail(tx: Transaction, userId: string, nowMs: number): Promise<void>;
  /** Ids, in their order, of at most `limit` accounts whose address nobody had proven when the time for it was over; those behind `after`. */
  lapsed(on: Sql, nowMs: number, after: string, limit: number): Promise<readonly string[]>;
  /** Takes a status over with its version, newer or not. */
  setStatus(tx: Transaction, userId: string, isSuspended: boolean, version: EventVersion): Promise<void>;
  /** Raises the version of the roles; false, without effect, when it is no newer or the account is gone. Leaves the row locked. */
  raiseRolesVersion(tx: Transaction, userId: string, version: EventVersion): Promise<boolean>;
  /** Removes an account and all that refers to it, which is everything of the person but mails, key and audit records. */
  remove(tx: Transaction, userId: string): Promise<void>;
  /** Ids after the id `after` (empty: from the first) in their order. */
  ids(on: Sql, after: string, limit: number): Promise<readonly string[]>;
  /** The accounts of these ids that are there, their rows locked, in the order of their ids. */
  lockAll(tx: Transaction, userIds: readonly string[]): Promise<readonly Account[]>;
}
