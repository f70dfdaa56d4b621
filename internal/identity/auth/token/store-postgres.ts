import type { SigningKeyStore } from "./store.ts";

/** Signing keys in PostgreSQL. */
export const postgresSigningKeyStore: SigningKeyStore = {
  list: async (on) => {
    const rows = await on<Row[]>`
      SELECT kid, public_key, seed_sealed, sign_time, token_expire_time FROM signing_keys ORDER BY sign_time, kid`;
    return rows.map((row) => ({
      kid: row.kid,
      publicKey: row.public_key,
      seedSealed: row.seed_sealed,
      signTimeMs: row.sign_time.getTime(),
      tokenExpireTimeMs: row.token_expire_time.getTime(),
    }));
  },

  insert: async (tx, { kid, publicKey, seedSealed, signTimeMs }, nowMs) => {
    await tx`
      INSERT INTO signing_keys (kid, public_key, seed_sealed, create_time, sign_time, token_expire_time)
      VALUES (${kid}, ${publicKey}, ${seedSealed}, ${new Date(nowMs)}, ${new Date(signTimeMs)}, ${new Date(0)})`;
  },

  keepUntil: async (on, kid, expireTimeMs) => {
    const rows = await on`
      UPDATE signing_keys SET token_expire_time = GREATEST(token_expire_time, ${new Date(expireTimeMs)})
      WHERE kid = ${kid} RETURNING kid`;
    return rows.length > 0;
  },

  remove: async (tx, kid) => {
    await tx`DELETE FROM signing_keys WHERE kid = ${kid}`;
  },
};

interface Row {
  readonly kid: string;
  readonly public_key: Uint8Array;
  readonly seed_sealed: Uint8Array;
  readonly sign_time: Date;
  readonly token_expire_time: Date;
}
