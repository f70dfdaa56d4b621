import type { PersonStatus, PersonStore } from "./store.ts";

/** Copies of people in PostgreSQL. */
export const postgresPersonStore: PersonStore = {
  statusOf: async (sql, userId) => {
    const [person] = await sql<{ status: PersonStatus }[]>`SELECT status FROM people WHERE user_id = ${userId}`;
    return person?.status;
  },

  lock: async (tx, userId) => {
    const [person] = await tx<{ status: PersonStatus }[]>`
      SELECT status FROM people WHERE user_id = ${userId} FOR SHARE`;
    return person?.status;
  },

  displayNameOf: async (sql, userId) => {
    const [person] = await sql<{ display_name: string }[]>`
      SELECT display_name FROM people WHERE user_id = ${userId} AND status <> 'DELETED'`;
    return person?.display_name;
  },

  signedUp: async (tx, userId, displayName) => {
    await tx`
      INSERT INTO people AS p (user_id, display_name, status) VALUES (${userId}, ${displayName}, 'ACTIVE')
      ON CONFLICT (user_id) DO UPDATE SET display_name = excluded.display_name
      WHERE p.profile_version = 0 AND p.status <> 'DELETED'`;
  },

  renamed: async (tx, userId, displayName, { epoch, version }) => {
    await tx`
      INSERT INTO people AS p (user_id, display_name, status, profile_epoch, profile_version)
      VALUES (${userId}, ${displayName}, 'ACTIVE', ${epoch}, ${version.toString()})
      ON CONFLICT (user_id) DO UPDATE SET display_name = excluded.display_name,
        profile_epoch = excluded.profile_epoch, profile_version = excluded.profile_version
      WHERE (p.profile_epoch, p.profile_version) < (excluded.profile_epoch, excluded.profile_version) AND p.status <> 'DELETED'`;
  },

  changedStatus: async (tx, userId, status, { epoch, version }) => {
    await tx`
      INSERT INTO people AS p (user_id, display_name, status, status_epoch, status_version)
      VALUES (${userId}, '', ${status}, ${epoch}, ${version.toString()})
      ON CONFLICT (user_id) DO UPDATE SET status = excluded.status,
        status_epoch = excluded.status_epoch, status_version = excluded.status_version
      WHERE (p.status_epoch, p.status_version) < (excluded.status_epoch, excluded.status_version) AND p.status <> 'DELETED'`;
  },

  erase: async (tx, userId) => {
    await tx`
      INSERT INTO people (user_id, display_name, status) VALUES (${userId}, '', 'DELETED')
      ON CONFLICT (user_id) DO UPDATE SET display_name = '', status = 'DELETED'`;
  },
};
