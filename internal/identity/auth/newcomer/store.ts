import type { Sql, Transaction } from "../../../platform/postgres/database.ts";

/** Somebody who has no account yet: they signed up, or were invited. */
export interface Newcomer {
  /** Grows with time. */
  readonly newcomerId: string;
  /** Normalised. */
  readonly email: string;
  readonly displayName: string;
  /** Argon2id, as a PHC string; `undefined` for who was invited. */
  readonly passwordHash: string | undefined;
  readonly createTimeMs: number;
  readonly expireTimeMs: number;
}

/** Who invited somebody. */
export interface Inviter {
  readonly principal: string;
  /** Idempotency key of the request; empty for none. */
  readonly requestId: string;
}

/** Somebody who was invited, and by which principal. */
export interface Invited extends Newcomer {
  readonly inviter: string;
}

/** Newcomers. One address may have several: each sign-up has a password of its own. */
export interface NewcomerStore {
  /** Adds one who signed up, or whom `inviter` invited. Waits for no lock. */
  insert(tx: Transaction, newcomer: Newcomer, inviter?: Inviter): Promise<void>;
  find(on: Sql, newcomerId: string): Promise<Newcomer | undefined>;
  /** Who was invited and can still accept at `nowMs`, newest first; those before `beforeId` unless that is empty. */
  listInvited(
    on: Sql,
    query: { readonly beforeId: string; readonly nowMs: number },
    limit: number,
  ): Promise<readonly Invited[]>;
  /** The newcomer, with all rows of their address locked: no other transaction gives any of them an account meanwhile. */
  lock(tx: Transaction, newcomerId: string): Promise<Newcomer | undefined>;
  /** Whom the inviter invited by a request with a key, if that has not ended at `nowMs`. */
  findInvited(on: Sql, inviter: Inviter, nowMs: number): Promise<Newcomer | undefined>;
  /** How many invitations have not ended at `nowMs`; counts no further than `max`. */
  countInvited(on: Sql, nowMs: number, max: number): Promise<number>;
  /** How many came before this one with the same address, in the same way, after `sinceMs`. */
  countEarlier(on: Sql, newcomer: Newcomer, sinceMs: number): Promise<number>;
  /** Removes one, and their tokens. */
  remove(tx: Transaction, newcomerId: string): Promise<void>;
  /** Removes all of an address, and their tokens. */
  removeByEmail(tx: Transaction, email: string): Promise<void>;
  /** Removes at most `rowsMax` that have ended at `nowMs`, and their tokens. */
  prune(tx: Transaction, nowMs: number, rowsMax: number): Promise<void>;
}
