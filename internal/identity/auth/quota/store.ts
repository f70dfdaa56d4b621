import type { Sql, Transaction } from "../../../platform/postgres/database.ts";

/** Uses that count for one subject. Time in milliseconds since 1970. */
export interface QuotaUses {
  /** 0 for a subject that nobody has used, or whose window has passed. */
  readonly uses: number;
  /** When they are forgotten. */
  readonly windowEndMs: number;
}

/** Counts of what was asked for. Subjects are keyed hashes of 32 bytes. */
export interface QuotaStore {
  /** The uses of a subject at `nowMs`; takes no lock. A window that ends later than any can counts for nothing: a clock was put back. */
  read(
    on: Sql,
    subjectHash: Uint8Array,
    times: { readonly nowMs: number; readonly windowMs: number },
  ): Promise<QuotaUses>;
  /**
   * Counts one more and returns the uses with it; `tx` holds the row from here on, so that no two see the same. A first use begins
   * a window of `windowMs`.
   */
  add(
    tx: Transaction,
    subjectHash: Uint8Array,
    times: { readonly nowMs: number; readonly windowMs: number },
  ): Promise<QuotaUses>;
  /** Removes at most `rowsMax` subjects whose window had passed at `nowMs`. */
  prune(tx: Transaction, nowMs: number, rowsMax: number): Promise<void>;
}
