import type { Sql, Transaction } from "../../../platform/postgres/database.ts";

/** What a person has set for themself. */
export interface StoredPreferences {
  /** In the order of the keys. */
  readonly values: Readonly<Record<string, string>>;
  /** Grows with every change; 0 when nothing was ever set. */
  readonly version: number;
}

/** Preferences by the id of a person who is there, and whose row is locked where there is a `tx`. */
export interface PreferenceStore {
  get(sql: Sql, userId: string): Promise<StoredPreferences>;
  save(tx: Transaction, userId: string, preferences: StoredPreferences): Promise<void>;
  remove(tx: Transaction, userId: string): Promise<void>;
}
