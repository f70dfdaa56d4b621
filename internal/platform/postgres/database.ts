import type { Sql, TransactionSql } from "postgres";

/** A service's own PostgreSQL database, with the rights of its data role: rows, no schema changes. */
export interface Database {
  /** Runs one statement outside a transaction, as a tagged template. */
  readonly sql: Sql;
  /**
   * Runs `work` in one transaction; commits what it returns, rolls back what it throws. Serialisation failures and
   * deadlocks are tried again up to 5 times, so `work` must not do anything outside the transaction.
   */
  transaction<T>(work: (tx: Transaction) => Promise<T>): Promise<T>;
}

/** A database that may only be read, through the views that its owner published. */
export interface ReadOnlyDatabase {
  /** Runs one statement, as a tagged template. */
  readonly sql: Sql;
}

/** A transaction. Events recorded in it are published if and only if it commits. */
export type Transaction = TransactionSql;

/** One forward-only step of a schema. Files named `NNNN_words.sql`; an applied one must never change. */
export interface Migration {
  /** File name without ".sql", such as "0001_accounts". */
  readonly name: string;
  /** The statements. */
  readonly sql: string;
}
