import type { Sql, Transaction } from "../../../platform/postgres/database.ts";

/** A session as its owner sees it. Times in milliseconds since 1970. */
export interface Session {
  readonly sessionId: string;
  readonly userAgent: string;
  readonly address: string;
  readonly createTimeMs: number;
  readonly useTimeMs: number;
  readonly expireTimeMs: number;
}

/** A session whose row is locked. */
export interface LockedSession {
  readonly userId: string;
  /** SHA-256 of the one refresh token that is good. */
  readonly refreshHash: Uint8Array;
  readonly createTimeMs: number;
  readonly expireTimeMs: number;
  readonly isEnded: boolean;
}

/** A refresh token that was exchanged a moment ago, so that a repeat by the same client gets the same successor. */
export interface RefreshGrace {
  readonly refreshHash: Uint8Array;
  readonly sessionId: string;
  readonly successorSealed: Uint8Array;
  readonly clientHash: Uint8Array;
  readonly rotateTimeMs: number;
}

/** Sessions and the hashes of their refresh tokens. */
export interface SessionStore {
  /** Adds a session at version 1. */
  insert(
    tx: Transaction,
    session: Session & { readonly userId: string; readonly refreshHash: Uint8Array },
  ): Promise<void>;
  /** The session, its row locked: whoever holds it alone decides what a presented token brings. */
  lock(tx: Transaction, sessionId: string): Promise<LockedSession | undefined>;
  /** Ends a session that has not ended. Returns its version then, and when it was last used; `undefined` when it had ended or is not there. */
  end(
    tx: Transaction,
    sessionId: string,
    nowMs: number,
  ): Promise<{ readonly version: bigint; readonly useTimeMs: number } | undefined>;
  /** Ids of a person's sessions that have not ended, their rows locked in the order of the ids; without `keptId`, unless that is empty. */
  lockOfPerson(tx: Transaction, userId: string, keptId: string): Promise<readonly string[]>;
  /** Ids of a person's live sessions but for the `keptMax` last used. */
  unusedOfPerson(tx: Transaction, userId: string, nowMs: number, keptMax: number): Promise<readonly string[]>;
  /** Replaces the refresh token that is good. The row must be locked. A time of use that is later stays: a token was issued then. */
  rotate(
    tx: Transaction,
    sessionId: string,
    next: { readonly refreshHash: Uint8Array; readonly useTimeMs: number; readonly expireTimeMs: number },
  ): Promise<void>;
  /** The grace of a token of this session. */
  findGrace(tx: Transaction, sessionId: string, refreshHash: Uint8Array): Promise<RefreshGrace | undefined>;
  /** Adds a grace; of the session's others only those after `sinceMs` stay, and at most `keptMax` with the new one. */
  addGrace(tx: Transaction, grace: RefreshGrace, sinceMs: number, keptMax: number): Promise<void>;
  /** A person's live sessions, newest first; those before `beforeId`, unless that is empty. */
  list(on: Sql, userId: string, nowMs: number, beforeId: string, limit: number): Promise<readonly Session[]>;
  /** A person's sessions, ended ones included, newest first. Of an ended one `expireTimeMs` is when it ended. */
  listAll(on: Sql, userId: string, limit: number): Promise<readonly Session[]>;
  /** Removes at most `rowsMax` sessions that ended or expired before `beforeMs`. */
  prune(tx: Transaction, beforeMs: number, rowsMax: number): Promise<void>;
}
