import type { PersonErasureStore } from "./store.ts";

/** Deletions of people in PostgreSQL. */
export const postgresPersonErasureStore: PersonErasureStore = {
  add: async (tx, userId, aggregateVersion, timeMs) => {
    await tx`
      INSERT INTO person_erasures (user_id, aggregate_version, create_time)
      VALUES (${userId}, ${aggregateVersion.toString()}, ${new Date(timeMs)}) ON CONFLICT DO NOTHING`;
  },

  lock: async (tx, userId) => {
    const [row] = await tx<{ aggregate_version: string }[]>`
      SELECT aggregate_version FROM person_erasures WHERE user_id = ${userId} FOR UPDATE`;
    return row && BigInt(row.aggregate_version);
  },

  remove: async (tx, userId) => {
    await tx`DELETE FROM person_erasures WHERE user_id = ${userId}`;
  },
};
