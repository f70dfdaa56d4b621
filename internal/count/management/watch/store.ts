import type { Transaction } from "../../../platform/postgres/database.ts";
import type { StoredValue, WatchedSum, WatchFailure, WatchRun } from "./rules.ts";

/** The sums of the Counts' changes, in CountInfoDB. */
export interface WatchStore {
  /**
   * Advances the sums by a message's changes, in one statement. What a sum has reached already is ignored by its revision;
   * what does not follow it is recorded as a gap, and the sum stays where it is. Returns the failures seen first now.
   */
  advance(tx: Transaction, runs: readonly WatchRun[]): Promise<readonly WatchFailure[]>;
  /** Sums of Counts that exist, after the id `after` (empty: from the first), in the order of their ids. */
  list(prefix: string, after: string, limit: number): Promise<readonly WatchedSum[]>;
  /** Begins anew at the given values wherever a sum has not reached them: whoever missed events goes on from there. */
  restart(counts: readonly { readonly watched: WatchedSum; readonly stored: StoredValue }[]): Promise<void>;
}
