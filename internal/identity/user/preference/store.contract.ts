import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { Database } from "../../../platform/postgres/database.ts";
import type { PreferenceStore, StoredPreferences } from "./store.ts";

/** A store of preferences to be tried, and the database whose transactions it works in. */
export interface StartedPreferenceStore extends AsyncDisposable {
  readonly database: Pick<Database, "sql" | "transaction">;
  readonly preferences: PreferenceStore;
  /** Makes a person who has set nothing; returns their id. */
  newPerson(): Promise<string>;
}

/** What every store of preferences does. */
export function describePreferenceStore(name: string, start: () => Promise<StartedPreferenceStore>): void {
  describe(`a store of preferences: ${name}`, () => {
    let started: StartedPreferenceStore;
    beforeAll(async () => {
      started = await start();
    });
    afterAll(() => started[Symbol.asyncDispose]());

    const save = (userId: string, preferences: StoredPreferences): Promise<void> =>
      started.database.transaction((tx) => started.preferences.save(tx, userId, preferences));
    /** What is kept of a person, asked for in both ways. */
    const kept = async (userId: string): Promise<StoredPreferences> => {
      const found = await started.database.transaction((tx) => started.preferences.get(tx, userId));
      expect(await started.preferences.get(started.database.sql, userId)).toEqual(found);
      return found;
    };

    test("gives back what was saved last, in the order of the keys, to its owner alone", async () => {
      const [ada, bob] = [await started.newPerson(), await started.newPerson()];
      expect(await kept(ada)).toEqual({ values: {}, version: 0 });
      await save(ada, { values: { "app.theme": "dark" }, version: 1 });
      const values = { "a.long.key": "1", "a.b": "\u{1F469} \"'", "z.z": "x".repeat(1024) };
      await save(ada, { values, version: 2 });
      const after = await kept(ada);
      expect(after).toEqual({ values, version: 2 });
      expect(Object.keys(after.values)).toEqual(["a.b", "a.long.key", "z.z"]);
      expect(await kept(bob)).toEqual({ values: {}, version: 0 });
    });

    test("keeps nothing of what was removed, or of a transaction that failed", async () => {
      const ada = await started.newPerson();
      await save(ada, { values: { "a.b": "c" }, version: 1 });
      const failing = started.database.transaction(async (tx) => {
        await started.preferences.remove(tx, ada);
        throw new Error("no");
      });
      expect(await failing.catch((error: Error) => error.message)).toBe("no");
      expect(await kept(ada)).toEqual({ values: { "a.b": "c" }, version: 1 });
      await started.database.transaction((tx) => started.preferences.remove(tx, ada));
      expect(await kept(ada)).toEqual({ values: {}, version: 0 });
    });
  });
}
