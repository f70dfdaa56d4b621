import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { Transaction } from "../../../platform/postgres/database.ts";
import { getsOnBeside, type StartedStores } from "../stores-fixture.ts";
import type { PersonStore } from "./store.ts";

/** What every store of people does. */
export function describePersonStore(name: string, start: () => Promise<StartedStores>): void {
  describe(`a store of people: ${name}`, () => {
    let started: StartedStores;
    let people: PersonStore;
    beforeAll(async () => {
      started = await start();
      ({ people } = started);
    });
    afterAll(() => started[Symbol.asyncDispose]());

    const within = <T>(work: (tx: Transaction) => Promise<T>): Promise<T> => started.database.transaction(work);

    const hold = (tx: Transaction) => people.hold(tx, "kim");
    const status = (userId: string) => people.statusOf(started.database.sql, userId);
    const change = (userId: string, to: "ACTIVE" | "SUSPENDED", epoch: number, version: bigint) =>
      within((tx) => people.changedStatus(tx, userId, to, { epoch, version }));

    test("keeps the newest status, whenever somebody signed up", async () => {
      expect(await status("ada")).toBeUndefined();
      await change("ada", "SUSPENDED", 0, 2n);
      await within((tx) => people.signedUp(tx, "ada"));
      await change("ada", "ACTIVE", 0, 1n);
      expect(await status("ada")).toBe("SUSPENDED");
      await change("ada", "ACTIVE", 1, 1n);
      await change("ada", "SUSPENDED", 0, 9n);
      expect(await status("ada")).toBe("ACTIVE");
    });

    test("keeps who is deleted deleted, known or not", async () => {
      await within((tx) => people.signedUp(tx, "bob"));
      for (const userId of ["bob", "eve"]) {
        await within((tx) => people.erase(tx, userId));
        await within((tx) => people.signedUp(tx, userId));
        await change(userId, "ACTIVE", 9, 9n);
        expect(await status(userId)).toBe("DELETED");
      }
    });

    test("deletes nobody who is held", async () => {
      await within((tx) => people.signedUp(tx, "kim"));
      expect(await getsOnBeside(started, hold, hold)).toBe(true);
      expect(await getsOnBeside(started, hold, (tx) => people.erase(tx, "kim"))).toBe(false);
    });
  });
}
