import type { Transaction } from "../../../platform/postgres/database.ts";

/** Deletions of people that are to be confirmed. */
export interface PersonErasureStore {
  /** Adds one, unless it is there. */
  add(tx: Transaction, userId: string, aggregateVersion: bigint, timeMs: number): Promise<void>;
  /** Locks one until the transaction ends; gives the aggregate_version of the UserStatusChanged that told it. `undefined`: there is none. */
  lock(tx: Transaction, userId: string): Promise<bigint | undefined>;
  /** Removes one that was confirmed. */
  remove(tx: Transaction, userId: string): Promise<void>;
}
