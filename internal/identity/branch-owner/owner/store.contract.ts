import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { Transaction } from "../../../platform/postgres/database.ts";
import type { StartedStores } from "../stores-fixture.ts";
import type { OwnerStore, StoredOwner } from "./store.ts";

const createTimeMs = Date.parse("2026-03-01T10:00:00.123Z");

/** What every store of owners does. */
export function describeOwnerStore(name: string, start: () => Promise<StartedStores>): void {
  describe(`a store of owners: ${name}`, () => {
    let started: StartedStores;
    let owners: OwnerStore;
    beforeAll(async () => {
      started = await start();
      ({ owners } = started);
    });
    afterAll(() => started[Symbol.asyncDispose]());

    const within = <T>(work: (tx: Transaction) => Promise<T>): Promise<T> => started.database.transaction(work);
    const add = async (userId: string): Promise<StoredOwner> => {
      const said = { companyName: "Muscle & Co.", contactEmail: "a@example.com", contactPhoneNumber: "+82" };
      const owner = { userId, ...said, version: 1, createTimeMs, updateTimeMs: createTimeMs };
      await within((tx) => started.people.signedUp(tx, userId, `Name of ${userId}`));
      expect(await within((tx) => owners.add(tx, owner))).toBe(true);
      expect(await within((tx) => owners.add(tx, { ...owner, companyName: "Other" }))).toBe(false);
      return { ...owner, displayName: `Name of ${userId}` };
    };

    const ids = async (after: string, limit: number): Promise<readonly string[]> =>
      (await owners.list(started.database.sql, after, limit)).map(({ userId }) => userId);

    test("gives back who was added, with the person's name, and what was saved", async () => {
      const owner = await add("ada");
      expect(await owners.find(started.database.sql, "ada")).toEqual(owner);
      const changed = { ...owner, companyName: "", contactEmail: "b@example.com", version: 2, updateTimeMs: 1 };
      await within((tx) => owners.save(tx, changed));
      expect(await within((tx) => owners.lock(tx, "ada"))).toEqual(changed);
      expect(await owners.find(started.database.sql, "nobody")).toBeUndefined();
    });

    test("lists in the order of ids, in pages", async () => {
      for (const userId of ["list-c", "list-a", "list-b"]) await add(userId);
      expect([await ids("list", 2), await ids("list-b", 2)]).toEqual([["list-a", "list-b"], ["list-c"]]);
    });

    test("shows no deleted person, and leaves nothing of them", async () => {
      await add("gone");
      await within((tx) => owners.erase(tx, "gone", createTimeMs));
      expect(await owners.find(started.database.sql, "gone")).toMatchObject({
        companyName: "",
        contactEmail: "",
        contactPhoneNumber: "",
        version: 2,
      });
      await within((tx) => started.people.erase(tx, "gone"));
      expect(await owners.find(started.database.sql, "gone")).toBeUndefined();
      expect(await within((tx) => owners.lock(tx, "gone"))).toBeUndefined();
      expect(await ids("gon", 1)).not.toEqual(["gone"]);
    });

    test("of two who lock an owner, the second sees what the first saved", async () => {
      await add("both");
      await Promise.all(
        Array.from({ length: 8 }, () =>
          within(async (tx) => {
            const owner = await owners.lock(tx, "both");
            if (owner !== undefined) await owners.save(tx, { ...owner, version: owner.version + 1 });
          }),
        ),
      );
      expect((await owners.find(started.database.sql, "both"))?.version).toBe(9);
    });
  });
}
