import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { StartedStore, StartStore } from "../store-fixture.ts";
import type { ScopeStore } from "./store.ts";

/** What every store of roles and scopes does. */
export function describeScopeStore(name: string, start: StartStore<ScopeStore>): void {
  describe(`a store of roles and scopes: ${name}`, () => {
    let started: StartedStore<ScopeStore>;
    let store: ScopeStore;
    beforeAll(async () => {
      started = await start();
      ({ store } = started);
    });
    afterAll(() => started[Symbol.asyncDispose]());

    test("gives and takes back scopes once each, of one person alone", async () => {
      const [ada, bob] = [(await started.newAccount()).userId, (await started.newAccount()).userId];
      const changed = await started.database.transaction(async (tx) => [
        await store.grant(tx, ada, ["a.read", "b.read"], 1000),
        await store.grant(tx, ada, ["b.read", "c.read"], 2000),
        await store.revoke(tx, ada, ["a.read", "d.read"]),
      ]);
      expect(changed.map((scopes) => scopes.toSorted())).toEqual([["a.read", "b.read"], ["c.read"], ["a.read"]]);
      const { sql } = started.database;
      expect((await store.find(sql, ada)).granted.toSorted()).toEqual(["b.read", "c.read"]);
      expect((await store.find(sql, bob)).granted).toEqual([]);
    });

    test("replaces all roles, and finds those that hold everywhere", async () => {
      const { userId } = await started.newAccount();
      const { sql } = started.database;
      expect((await store.find(sql, userId)).roles).toEqual(["member"]);
      const roles = [
        { role: "owner", branchId: "" },
        { role: "helper", branchId: "b1" },
        { role: "helper", branchId: "b1" },
      ];
      await started.database.transaction((tx) => store.setRoles(tx, userId, roles, 1000));
      expect((await store.find(sql, userId)).roles).toEqual(["owner"]);
      expect([await store.isAssigned(sql, "helper"), await store.isAssigned(sql, "cook")]).toEqual([true, false]);
      await started.database.transaction((tx) => store.setRoles(tx, userId, [], 2000));
      expect(await store.isAssigned(sql, "helper")).toBe(false);
    });

    test("finds who of those that have a role everywhere was there first, unless suspended", async () => {
      const { sql } = started.database;
      const [first, second] = [(await started.newAccount()).userId, (await started.newAccount()).userId];
      const everywhere = (userId: string, branchId = "") =>
        started.database.transaction((tx) => store.setRoles(tx, userId, [{ role: "cook", branchId }], 1));
      const found = () => started.database.transaction((tx) => store.lockFirstActive(tx, "cook"));
      expect(await found()).toBeUndefined();
      await everywhere(second);
      await everywhere(first, "b1");
      expect(await found()).toBe(second);
      await everywhere(first);
      expect(await found()).toBe(first);
      await sql`UPDATE accounts SET status = 'SUSPENDED' WHERE user_id = ${first}`;
      expect(await found()).toBe(second);
    });
  });
}
