import type { KeptPersonKey, PersonKeyStore } from "./store.ts";

/** People's keys in PostgreSQL. */
export const postgresPersonKeyStore: PersonKeyStore = {
  insert: async (tx, personId, keySealed, nowMs) => {
    await tx`
      INSERT INTO person_keys (person_id, key_sealed, create_time)
      VALUES (${personId}, ${keySealed}, ${new Date(nowMs)})`;
  },

  find: async (on, personIds) => {
    const rows = await on<Row[]>`
      SELECT person_id, key_sealed, destroy_time FROM person_keys WHERE person_id = ANY(${[...personIds]}::uuid[])`;
    return rows.map(keyOf);
  },

  lock: async (tx, personId) => {
    const [row] = await tx<Row[]>`
      SELECT person_id, key_sealed, destroy_time FROM person_keys WHERE person_id = ${personId} FOR UPDATE`;
    return row && keyOf(row);
  },

  destroy: async (tx, personId, nowMs) => {
    await tx`
      UPDATE person_keys SET key_sealed = NULL, destroy_time = ${new Date(nowMs)} WHERE person_id = ${personId}`;
  },
};

interface Row {
  readonly person_id: string;
  readonly key_sealed: Uint8Array | null;
  readonly destroy_time: Date | null;
}

function keyOf(row: Row): KeptPersonKey {
  return {
    personId: row.person_id,
    keySealed: row.key_sealed ?? undefined,
    destroyTimeMs: row.destroy_time?.getTime(),
  };
}
