import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { Transaction } from "../../../platform/postgres/database.ts";
import type { StartedStores } from "../stores-fixture.ts";
import type { BranchStore } from "./store.ts";

/** What every store of branches does. */
export function describeBranchStore(name: string, start: () => Promise<StartedStores>): void {
  describe(`a store of branches: ${name}`, () => {
    let started: StartedStores;
    let branches: BranchStore;
    beforeAll(async () => {
      started = await start();
      ({ branches } = started);
    });
    afterAll(() => started[Symbol.asyncDispose]());

    const within = <T>(work: (tx: Transaction) => Promise<T>): Promise<T> => started.database.transaction(work);

    const put = (branchId: string, ownerId: string, managerIds: readonly string[], epoch: number, version: bigint) =>
      within((tx) => branches.put(tx, { branchId, ownerId, managerIds, version: { epoch, version } }));

    /** Which of two people is the owner of a branch. */
    const ownerOf = async (branchId: string): Promise<string> => {
      const owned = await branches.managedAmong(started.database.sql, [branchId], "one");
      return owned.length > 0 ? "one" : "other";
    };

    test("knows which there are, and who owns or manages them", async () => {
      const { sql } = started.database;
      await put("b1", "ada", ["bob"], 0, 1n);
      await put("b2", "bob", [], 0, 1n);
      expect((await branches.known(sql, ["b2", "none", "b1"])).toSorted()).toEqual(["b1", "b2"]);
      const managed = async (userId: string) =>
        (await branches.managedAmong(sql, ["b1", "b2", "none"], userId)).toSorted();
      expect([await managed("ada"), await managed("bob"), await managed("eve"), await managed("")]).toEqual([
        ["b1"],
        ["b1", "b2"],
        [],
        [],
      ]);
      const any = await Promise.all(["ada", "bob", "eve", ""].map((userId) => branches.managesAny(sql, userId)));
      expect(any).toEqual([true, true, false, false]);
    });

    test("takes what is newer, by the epoch first", async () => {
      await put("b3", "one", [], 0, 5n);
      await put("b3", "other", [], 0, 5n);
      expect(await ownerOf("b3")).toBe("one");
      await put("b3", "other", [], 1, 1n);
      await put("b3", "one", [], 0, 9n);
      expect(await ownerOf("b3")).toBe("other");
    });
  });
}
