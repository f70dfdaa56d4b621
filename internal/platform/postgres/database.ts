import type { ISql, JSONValue, TransactionSql } from "postgres";

/**
 * Runs statements, each a tagged template whose values are sent beside its text: a database's own, outside of transactions, or a
 * transaction's. 64-bit integers come as text, `timestamptz` as Date, `bytea` as Buffer.
 */
export type Sql = ISql;

/** A transaction: its statements take effect together when it commits, or not at all. */
export type Transaction = TransactionSql;

/** A value for a parameter of type `json` or `jsonb`, given as `sql.json(value)`. */
export type Json = JSONValue;

/** A service's own PostgreSQL database, with the rights of its data role: rows, no schema changes. */
export interface Database {
  /** For single statements outside of transactions. */
  readonly sql: Sql;
  /**
   * Runs `work` in one transaction; commits what it returns, rolls back what it throws. Serialisation failures and
   * deadlocks are tried again up to 5 times, so `work` must not do anything outside the transaction.
   */
  transaction<T>(work: (tx: Transaction) => Promise<T>): Promise<T>;
  /**
   * Hears what is notified on a channel, over a connection of its own: `onNotify` gets each payload, `onListening` is told each time
   * that listening begins, also after a lost connection, during which notifications were missed. Resolves once it listens; rejects
   * while the database is away.
   */
  listen(channel: string, onNotify: (payload: string) => void, onListening: () => void): Promise<Listening>;
}

/** What is being listened to, until it is ended. */
export interface Listening {
  unlisten(): Promise<void>;
}

/** A database that may only be read, through the views that its owner published. */
export interface ReadOnlyDatabase {
  /** For single statements. */
  readonly sql: Sql;
}

/** One forward-only step of a schema. Files named `NNNN_words.sql`; an applied one must never change. */
export interface Migration {
  /** File name without ".sql", such as "0001_accounts". */
  readonly name: string;
  /** The statements. */
  readonly sql: string;
}
