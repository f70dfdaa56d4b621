import type { Sql, Transaction } from "../../../platform/postgres/database.ts";

/** How far the erasure of a deleted person's data has come. Times are in milliseconds since the Unix epoch. */
export interface StoredErasure {
  /** Random: who knows it may ask how far it has come. */
  readonly erasureId: string;
  readonly userId: string;
  readonly state: "ERASING" | "DESTROYING_KEY" | "DONE";
  /** In the order of the services' names. */
  readonly confirmations: readonly Confirmation[];
  readonly createTimeMs: number;
  readonly doneTimeMs: number | undefined;
}

/** That a service has erased what it held of a person, or has yet to. */
export interface Confirmation {
  readonly service: string;
  readonly confirmTimeMs: number | undefined;
}

/** Erasures: one for each deleted person. */
export interface ErasureStore {
  get(sql: Sql, erasureId: string): Promise<StoredErasure | undefined>;
  /** That of a person whose row is locked. */
  find(tx: Transaction, userId: string): Promise<StoredErasure | undefined>;
  /** Adds one whose services have all yet to confirm. */
  add(tx: Transaction, erasure: StoredErasure): Promise<void>;
  /** Marks that a service has erased what it held; the last one ends the state ERASING. Others' and repeated marks change nothing. */
  confirm(tx: Transaction, userId: string, service: string, confirmTimeMs: number): Promise<void>;
  /** Ids of people in the state ERASING after the id `after` (empty: from the first), in their order. */
  erasingIds(sql: Sql, after: string, limit: number): Promise<readonly string[]>;
  /** Those whose keys are to be destroyed, the oldest first. */
  due(sql: Sql, limit: number): Promise<readonly { readonly erasureId: string; readonly userId: string }[]>;
  /** Ends one whose key is destroyed. */
  end(sql: Sql, erasureId: string, doneTimeMs: number): Promise<void>;
}
