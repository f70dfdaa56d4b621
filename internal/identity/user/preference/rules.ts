import type { Refusal } from "../../../platform/errors/refusal.ts";
import type { Database } from "../../../platform/postgres/database.ts";
import { isCurrent } from "../../../platform/resource/etag.ts";
import { refuse } from "../errors.ts";
import type { PersonStore } from "../person/store.ts";
import type { PreferenceStore, StoredPreferences } from "./store.ts";

/** Preferences that one person may keep. */
const preferencesMax = 64;

/** Why preferences cannot be had. */
export type PreferenceRefusal = Refusal<"userNotFound" | "userDeleted" | "etagMismatch" | "tooManyPreferences">;

/** What people set for themselves. */
export interface PreferenceRules {
  get(userId: string): Promise<StoredPreferences | PreferenceRefusal>;
  /** Replaces the given values and removes those that are given as empty. An etag that is not empty must be the current one. */
  update(
    userId: string,
    given: Readonly<Record<string, string>>,
    etag: string,
  ): Promise<StoredPreferences | PreferenceRefusal>;
}

export function createPreferenceRules(deps: {
  readonly database: Pick<Database, "sql" | "transaction">;
  readonly people: Pick<PersonStore, "get" | "lock">;
  readonly preferences: Pick<PreferenceStore, "get" | "save">;
}): PreferenceRules {
  const { database, people, preferences } = deps;
  const { sql } = database;
  return {
    get: async (userId) => {
      const person = await people.get(sql, userId);
      if (person === undefined) return refuse("userNotFound", { user_id: userId });
      if (person.status === "DELETED") return refuse("userDeleted", { user_id: userId });
      return preferences.get(sql, userId);
    },

    update: (userId, given, etag) =>
      database.transaction(async (tx) => {
        const person = await people.lock(tx, userId);
        if (person === undefined) return refuse("userNotFound", { user_id: userId });
        if (person.status === "DELETED") return refuse("userDeleted", { user_id: userId });
        const before = await preferences.get(tx, userId);
        if (!isCurrent(etag, etagOfPreferences(before))) return refuse("etagMismatch", { resource: "preferences" });
        const values = merged(before.values, given);
        if (Object.keys(values).length > preferencesMax)
          return refuse("tooManyPreferences", { preferences_max: `${preferencesMax}` });
        if (JSON.stringify(values) === JSON.stringify(before.values)) return before;
        const after = { values, version: before.version + 1 };
        await preferences.save(tx, userId, after);
        return after;
      }),
  };
}

/** The etag of what a caller saw. */
export function etagOfPreferences({ version }: StoredPreferences): string {
  return `p${version}`;
}

/** In the order of the keys. */
function merged(
  before: Readonly<Record<string, string>>,
  given: Readonly<Record<string, string>>,
): Readonly<Record<string, string>> {
  const values = Object.entries({ ...before, ...given }).filter(([, value]) => value !== "");
  return Object.fromEntries(values.toSorted(([a], [b]) => (a < b ? -1 : 1)));
}
