import type { PreferenceStore, StoredPreferences } from "./store.ts";

interface PreferencesRow {
  readonly preferences: Record<string, string>;
  readonly version: string;
}

/** Preferences in PostgreSQL. */
export const postgresPreferenceStore: PreferenceStore = {
  get: async (sql, userId) => {
    const [row] = await sql<PreferencesRow[]>`SELECT preferences, version FROM preferences WHERE user_id = ${userId}`;
    return toPreferences(row);
  },

  save: async (tx, userId, { values, version }) => {
    await tx`
      INSERT INTO preferences (user_id, preferences, version) VALUES (${userId}, ${tx.json(values)}, ${version})
      ON CONFLICT (user_id) DO UPDATE SET preferences = excluded.preferences, version = excluded.version`;
  },

  remove: async (tx, userId) => {
    await tx`DELETE FROM preferences WHERE user_id = ${userId}`;
  },
};

/** jsonb keeps keys in an order of its own. */
function toPreferences(row: PreferencesRow | undefined): StoredPreferences {
  if (row === undefined) return { values: {}, version: 0 };
  const values = Object.fromEntries(Object.entries(row.preferences).toSorted(([a], [b]) => (a < b ? -1 : 1)));
  return { values, version: Number(row.version) };
}
