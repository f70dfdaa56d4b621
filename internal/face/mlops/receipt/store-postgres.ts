import type { ReceiptKeyStore } from "./store.ts";

/** Keys of receipts in PostgreSQL. */
export const postgresReceiptKeyStore: ReceiptKeyStore = {
  add: async (sql, { keyId, publicKey }, timeMs) => {
    await sql`
      INSERT INTO receipt_keys (key_id, public_key, create_time)
      VALUES (${keyId}, ${Buffer.from(publicKey)}, ${new Date(timeMs)}) ON CONFLICT DO NOTHING`;
  },

  list: async (sql) => {
    const rows = await sql<{ key_id: string; public_key: Uint8Array }[]>`
      SELECT key_id, public_key FROM receipt_keys ORDER BY create_time, key_id`;
    return rows.map(({ key_id, public_key }) => ({ keyId: key_id, publicKey: public_key }));
  },
};
