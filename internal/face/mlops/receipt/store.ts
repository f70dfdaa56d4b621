import type { Sql } from "../../../platform/postgres/database.ts";

/** A public key that verifies receipts. */
export interface ReceiptKey {
  /** Its thumbprint (RFC 7638). */
  readonly keyId: string;
  /** 32 bytes. */
  readonly publicKey: Uint8Array;
}

/** The keys that have signed receipts. */
export interface ReceiptKeyStore {
  /** Adds one, unless it is there. */
  add(sql: Sql, key: ReceiptKey, timeMs: number): Promise<void>;
  /** All, the oldest first. */
  list(sql: Sql): Promise<readonly ReceiptKey[]>;
}
