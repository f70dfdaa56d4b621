import type { Sql, Transaction } from "../../../platform/postgres/database.ts";

/** A service's bootstrap secret, or that it got tokens without one. Times are milliseconds since 1970. */
export interface BootstrapSecret {
  readonly serviceName: string;
  /** SHA-256; `undefined` while the service is withdrawn, and for one that never had a secret. */
  readonly secretHash: Uint8Array | undefined;
  readonly version: bigint;
  readonly issueTimeMs: number;
  /** When the service last got a token. */
  readonly renewTimeMs: number | undefined;
  /** When the service was last withdrawn, be it before this secret. */
  readonly withdrawTimeMs: number | undefined;
}

/** Bootstrap secrets, one for each service. */
export interface BootstrapStore {
  /** The service's, locked. */
  lock(tx: Transaction, serviceName: string): Promise<BootstrapSecret | undefined>;
  /** The one with this hash, locked. */
  lockByHash(tx: Transaction, secretHash: Uint8Array): Promise<BootstrapSecret | undefined>;
  /** Makes it the service's secret, instead of the one before. */
  put(tx: Transaction, serviceName: string, secretHash: Uint8Array, nowMs: number): Promise<void>;
  /** The service got a token, whether it has a secret or not. */
  markRenewed(tx: Transaction, serviceName: string, nowMs: number): Promise<void>;
  /** Takes the service's secret away; returns its new version. */
  withdraw(tx: Transaction, serviceName: string, nowMs: number): Promise<bigint>;
  /** Those that are or were good, by the name of the service. */
  list(on: Sql): Promise<readonly BootstrapSecret[]>;
}
