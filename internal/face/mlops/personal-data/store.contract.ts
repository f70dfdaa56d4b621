import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { Database } from "../../../platform/postgres/database.ts";
import type { PersonErasureStore } from "./store.ts";

/** A store of deletions to be tried, empty, and the database whose transactions it works in. */
export interface StartedPersonErasureStore extends AsyncDisposable {
  readonly database: Pick<Database, "transaction">;
  readonly personErasures: PersonErasureStore;
}

/** What every store of deletions of people does. */
export function describePersonErasureStore(name: string, start: () => Promise<StartedPersonErasureStore>): void {
  describe(`a store of deletions of people: ${name}`, () => {
    let started: StartedPersonErasureStore;
    beforeAll(async () => {
      started = await start();
    });
    afterAll(() => started[Symbol.asyncDispose]());

    test("keeps the first of a person until it is confirmed", async () => {
      const { database, personErasures } = started;
      const lock = (userId: string) => database.transaction((tx) => personErasures.lock(tx, userId));
      expect(await lock("ada")).toBeUndefined();
      await database.transaction((tx) => personErasures.add(tx, "ada", 3n, 1000));
      await database.transaction((tx) => personErasures.add(tx, "ada", 4n, 2000));
      expect([await lock("ada"), await lock("bob")]).toEqual([3n, undefined]);
      await database.transaction((tx) => personErasures.remove(tx, "ada"));
      expect(await lock("ada")).toBeUndefined();
    });
  });
}
