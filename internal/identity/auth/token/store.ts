import type { Sql, Transaction } from "../../../platform/postgres/database.ts";

/** An Ed25519 key that signs tokens. */
export interface SigningKey {
  /** JWK thumbprint (RFC 7638). */
  readonly kid: string;
  /** 32 bytes. */
  readonly publicKey: Uint8Array;
  /** Encrypted. */
  readonly seedSealed: Uint8Array;
  /** It signs from here on, in milliseconds since 1970. */
  readonly signTimeMs: number;
  /** End of the longest-lived service or device token that it signed; 0 without one. */
  readonly tokenExpireTimeMs: number;
}

/** The installation's signing keys. */
export interface SigningKeyStore {
  /** All keys in the order of their sign times. */
  list(on: Sql): Promise<readonly SigningKey[]>;
  /** Adds a key. */
  insert(tx: Transaction, key: Omit<SigningKey, "tokenExpireTimeMs">, nowMs: number): Promise<void>;
  /** Notes that the key signed a token that ends at `expireTimeMs`; never moves back. False when the key is gone. */
  keepUntil(on: Sql, kid: string, expireTimeMs: number): Promise<boolean>;
  /** Removes a key. */
  remove(tx: Transaction, kid: string): Promise<void>;
}
