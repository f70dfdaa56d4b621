import type { Sql, Transaction } from "../../../platform/postgres/database.ts";
import type { FailureCount } from "./policy.ts";

/** Counts of failed attempts, and the networks that people sign in from. Subjects and networks are keyed hashes of 32 bytes. */
export interface LockoutStore {
  /** The count of a subject, its row locked; a missing row is made and locked too, so that two first attempts do not pass at once. */
  lock(tx: Transaction, subjectHash: Uint8Array): Promise<FailureCount>;
  /** Replaces the count of a subject that `lock` has locked. */
  write(tx: Transaction, subjectHash: Uint8Array, count: FailureCount): Promise<void>;
  /** Forgets all failures of a subject. */
  forget(tx: Transaction, subjectHash: Uint8Array): Promise<void>;
  /** Takes one failure back, and the lock when it is still the one that ends at `lockEndMs` (0 for none). */
  takeBack(tx: Transaction, subjectHash: Uint8Array, lockEndMs: number): Promise<void>;
  /** Marks that a person signed in from a network; of more than `networksMax` the longest unused are forgotten. */
  rememberNetwork(
    tx: Transaction,
    network: { readonly userId: string; readonly networkHash: Uint8Array; readonly nowMs: number },
    networksMax: number,
  ): Promise<void>;
  /** Whether the account with this address was signed in to from the network after `sinceMs`. */
  isFamiliar(on: Sql, email: string, networkHash: Uint8Array, sinceMs: number): Promise<boolean>;
  /** Removes counts that neither lock nor count any more at `nowMs` and networks unused since `familiarSinceMs`: of each at most `rowsMax`. */
  prune(
    tx: Transaction,
    times: { readonly nowMs: number; readonly familiarSinceMs: number },
    rowsMax: number,
  ): Promise<void>;
}
