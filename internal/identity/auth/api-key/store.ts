import type { Sql, Transaction } from "../../../platform/postgres/database.ts";

/** A key, without its secret. Times in milliseconds since 1970. */
export interface ApiKey {
  readonly apiKeyId: string;
  /** Person. */
  readonly ownerId: string;
  readonly displayName: string;
  readonly scopes: readonly string[];
  readonly createTimeMs: number;
  readonly expireTimeMs: number | undefined;
  /** Last use, to the minute. */
  readonly useTimeMs: number | undefined;
  readonly revokeTimeMs: number | undefined;
}

/** A key as it is added. */
export interface ApiKeyRow {
  readonly apiKeyId: string;
  /** Person, who has an account. */
  readonly ownerId: string;
  readonly displayName: string;
  readonly scopes: readonly string[];
  /** SHA-256 of the secret. */
  readonly secretHash: Uint8Array;
  /** Set on a key that the installation makes for itself: at most one of a name is not revoked. */
  readonly managedName: string | undefined;
  readonly createTimeMs: number;
  readonly expireTimeMs: number | undefined;
}

/** API keys, by a hash of their secrets. A key is live until it is revoked or expires. */
export interface ApiKeyStore {
  /** Adds a key at version 1. Throws for a secret that another key has, and for a managed name whose key is not revoked. */
  insert(tx: Transaction, key: ApiKeyRow): Promise<ApiKey>;
  /** How many keys are live. */
  countLive(tx: Transaction, nowMs: number): Promise<number>;
  /** Keys, newest first; those before `beforeId` unless that is empty, and only live ones unless `withEnded`. */
  list(
    on: Sql,
    query: { readonly beforeId: string; readonly withEnded: boolean; readonly nowMs: number },
    limit: number,
  ): Promise<readonly ApiKey[]>;
  /** Keys of an owner, live or not, newest first. */
  listOfOwner(on: Sql, ownerId: string, limit: number): Promise<readonly ApiKey[]>;
  /** The person whose key it is; `undefined` when there is no such key. */
  ownerOf(on: Sql, apiKeyId: string): Promise<string | undefined>;
  /** The key with this hash of its secret, live or not. */
  findBySecretHash(on: Sql, secretHash: Uint8Array): Promise<ApiKey | undefined>;
  /** The key, its row locked. */
  lock(tx: Transaction, apiKeyId: string): Promise<ApiKey | undefined>;
  /** The ids of an owner's keys that are not revoked, their rows locked. */
  lockOfOwner(tx: Transaction, ownerId: string): Promise<readonly string[]>;
  /** The key of a managed name that is not revoked, with the hash of its secret, its row locked. */
  lockManaged(
    tx: Transaction,
    managedName: string,
  ): Promise<(ApiKey & { readonly secretHash: Uint8Array }) | undefined>;
  /** Revokes a key whose row is locked. Returns its version then. */
  revoke(tx: Transaction, apiKeyId: string, nowMs: number): Promise<bigint>;
  /** Notes a use; never moves back. */
  markUsed(on: Sql, apiKeyId: string, useTimeMs: number): Promise<void>;
  /** Removes at most `rowsMax` keys that were revoked or expired before `beforeMs`. */
  prune(tx: Transaction, beforeMs: number, rowsMax: number): Promise<void>;
}
