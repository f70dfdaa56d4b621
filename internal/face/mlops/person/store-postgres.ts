import type { PersonStatus, PersonStore } from "./store.ts";

/** Copies of people in PostgreSQL. */
export const postgresPersonStore: PersonStore = {
  statusOf: async (sql, userId) => {
    const [person] = await sql<{ status: PersonStatus }[]>`SELECT status FROM people WHERE user_id = ${userId}`;
    return person?.status;
  },

  hold: async (tx, userId) => {
    const [person] = await tx<{ status: PersonStatus }[]>`
      SELECT status FROM people WHERE user_id = ${userId} FOR SHARE`;
    return person?.status;
  },

  signedUp: async (tx, userId) => {
    await tx`INSERT INTO people (user_id, status) VALUES (${userId}, 'ACTIVE') ON CONFLICT (user_id) DO NOTHING`;
  },

  changedStatus: async (tx, userId, status, { epoch, version }) => {
    await tx`
      INSERT INTO people AS p (user_id, status, status_epoch, status_version)
      VALUES (${userId}, ${status}, ${epoch}, ${version.toString()})
      ON CONFLICT (user_id) DO UPDATE SET status = excluded.status,
        status_epoch = excluded.status_epoch, status_version = excluded.status_version
      WHERE (p.status_epoch, p.status_version) < (excluded.status_epoch, excluded.status_version) AND p.status <> 'DELETED'`;
  },

  erase: async (tx, userId) => {
    await tx`
      INSERT INTO people (user_id, status) VALUES (${userId}, 'DELETED')
      ON CONFLICT (user_id) DO UPDATE SET status = 'DELETED'`;
  },
};
