import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { Transaction } from "../../../platform/postgres/database.ts";
import type { StartedStores } from "../stores-fixture.ts";
import type { PersonStore } from "./store.ts";

/** What every store of people's copies does. */
export function describePersonStore(name: string, start: () => Promise<StartedStores>): void {
  describe(`a store of people's copies: ${name}`, () => {
    let started: StartedStores;
    let people: PersonStore;
    beforeAll(async () => {
      started = await start();
      ({ people } = started);
    });
    afterAll(() => started[Symbol.asyncDispose]());

    const within = <T>(work: (tx: Transaction) => Promise<T>): Promise<T> => started.database.transaction(work);
    /** "<status> <name>", as seen in every way of asking. */
    const seen = async (userId: string): Promise<string> => {
      const status = await people.statusOf(started.database.sql, userId);
      expect(await within((tx) => people.lock(tx, userId))).toBe(status);
      return `${status} ${await people.displayNameOf(started.database.sql, userId)}`;
    };

    test("knows nothing of who has not been heard of", async () => {
      expect(await seen("nobody")).toBe("undefined undefined");
    });

    test("takes the newest name, whatever the order, and a first name for the oldest", async () => {
      await within((tx) => people.renamed(tx, "ada", "third", { epoch: 0, version: 3n }));
      await within((tx) => people.renamed(tx, "ada", "second", { epoch: 0, version: 2n }));
      await within((tx) => people.renamed(tx, "ada", "third again", { epoch: 0, version: 3n }));
      await within((tx) => people.signedUp(tx, "ada", "first"));
      expect(await seen("ada")).toBe("ACTIVE third");
      await within((tx) => people.signedUp(tx, "bob", "first"));
      await within((tx) => people.renamed(tx, "bob", "second", { epoch: 0, version: 1n }));
      expect(await seen("bob")).toBe("ACTIVE second");
    });

    test("takes the newest status, counted apart from names", async () => {
      await within((tx) => people.changedStatus(tx, "eve", "SUSPENDED", { epoch: 0, version: 2n }));
      await within((tx) => people.changedStatus(tx, "eve", "ACTIVE", { epoch: 0, version: 1n }));
      expect(await seen("eve")).toBe("SUSPENDED ");
      await within((tx) => people.signedUp(tx, "eve", "Eve"));
      expect(await seen("eve")).toBe("SUSPENDED Eve");
      await within((tx) => people.changedStatus(tx, "eve", "ACTIVE", { epoch: 0, version: 3n }));
      expect(await seen("eve")).toBe("ACTIVE Eve");
    });

    test.each(["known", "unknown"])("nothing brings back who is erased, %s before", async (which) => {
      if (which === "known") await within((tx) => people.signedUp(tx, which, "Kim"));
      await within((tx) => people.erase(tx, which));
      await within((tx) => people.signedUp(tx, which, "Kim"));
      await within((tx) => people.renamed(tx, which, "Kim", { epoch: 0, version: 9n }));
      await within((tx) => people.changedStatus(tx, which, "ACTIVE", { epoch: 0, version: 9n }));
      expect(await seen(which)).toBe("DELETED undefined");
    });

    test("keeps who is locked from being erased until the transaction ends", async () => {
      await within((tx) => people.signedUp(tx, "lee", "Lee"));
      const order: string[] = [];
      let erasure = Promise.resolve();
      await within(async (tx) => {
        await people.lock(tx, "lee");
        erasure = within((other) => people.erase(other, "lee")).then(() => void order.push("erased"));
        expect(await people.statusOf(started.database.sql, "lee")).toBe("ACTIVE");
        order.push("ends");
      });
      await erasure;
      expect(order).toEqual(["ends", "erased"]);
    });
  });
}
