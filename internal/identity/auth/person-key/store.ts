import type { Sql, Transaction } from "../../../platform/postgres/database.ts";

/** A person's key as it is kept: encrypted, or destroyed. */
export interface KeptPersonKey {
  readonly personId: string;
  /** `undefined` when it was destroyed. */
  readonly keySealed: Uint8Array | undefined;
  /** Milliseconds since 1970; `undefined` while the key is there. */
  readonly destroyTimeMs: number | undefined;
}

/** People's keys. A destroyed key leaves its row, so that "destroyed" and "unknown" differ. */
export interface PersonKeyStore {
  /** Adds the key of a person who never had one. */
  insert(tx: Transaction, personId: string, keySealed: Uint8Array, nowMs: number): Promise<void>;
  /** The keys of these people that there are or were, in no order. */
  find(on: Sql, personIds: readonly string[]): Promise<readonly KeptPersonKey[]>;
  /** The key, its row locked. */
  lock(tx: Transaction, personId: string): Promise<KeptPersonKey | undefined>;
  /** Destroys a key: nothing of it stays but when that was. */
  destroy(tx: Transaction, personId: string, nowMs: number): Promise<void>;
}
