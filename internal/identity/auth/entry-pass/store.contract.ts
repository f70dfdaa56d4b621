import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { systemRandom } from "../../../platform/clock/random.ts";
import { postgresAccountStore } from "../account/store-postgres.ts";
import type { StartedStore, StartStore } from "../store-fixture.ts";
import type { EntryPassStore, IssuedPass } from "./store.ts";

/** What every store of entry passes does. */
export function describeEntryPassStore(name: string, start: StartStore<EntryPassStore>): void {
  describe(`a store of entry passes: ${name}`, () => {
    let started: StartedStore<EntryPassStore>;
    let store: EntryPassStore;
    beforeAll(async () => {
      started = await start();
      ({ store } = started);
    });
    afterAll(() => started[Symbol.asyncDispose]());

    const add = async (userId: string, expireTimeMs = 5000): Promise<IssuedPass & { readonly userId: string }> => {
      const pass = { passId: systemRandom.uuid(), userId, branchId: "b1", issueTimeMs: 1000, expireTimeMs };
      await started.database.transaction((tx) => store.insert(tx, pass));
      return { ...pass, revokeTimeMs: undefined };
    };
    const revoke = (passId: string, nowMs: number): Promise<bigint> =>
      started.database.transaction((tx) => store.revoke(tx, passId, nowMs));
    const count = (userId: string, nowMs: number) =>
      started.database.transaction((tx) => store.count(tx, userId, nowMs));

    test("counts, locks and lists a person's passes, alive, revoked and ended", async () => {
      const { userId } = await started.newAccount();
      await add((await started.newAccount()).userId, 9000);
      const [first, second, ended] = [await add(userId), await add(userId, 6000), await add(userId, 2000)];
      expect([await count(userId, 1999), await count(userId, 2000), await count(userId, 6000)]).toEqual([
        { unended: 3, alive: 3 },
        { unended: 2, alive: 2 },
        { unended: 0, alive: 0 },
      ]);
      const alive = await started.waits(
        (tx) => store.lock(tx, second.passId),
        (tx) => store.lockAlive(tx, userId, 2000),
      );
      expect(alive).toEqual({ waited: true, result: [first, second] });
      expect(await revoke(second.passId, 3000)).toBe(2n);
      expect(await count(userId, 2000)).toEqual({ unended: 2, alive: 1 });
      expect(await started.database.transaction((tx) => store.lockAlive(tx, userId, 2000))).toEqual([first]);
      const listed = [ended, { ...second, revokeTimeMs: 3000 }, first];
      expect(await store.listOfPerson(started.database.sql, userId, 10)).toEqual(listed);
      expect(await store.listOfPerson(started.database.sql, userId, 2)).toEqual(listed.slice(0, 2));
    });

    test("keeps a pass whose person is gone, without them", async () => {
      const { userId } = await started.newAccount();
      const pass = await add(userId);
      const left = await started.database.transaction(async (tx) => {
        await postgresAccountStore.remove(tx, userId);
        return store.lock(tx, pass.passId);
      });
      expect(left).toEqual({ ...pass, userId: undefined });
    });

    test("removes passes that ended before a time, at most so many, and no other", async () => {
      const { userId } = await started.newAccount();
      const kept = await add(userId, 3000);
      for (const endMs of [1500, 2999]) await add(userId, endMs);
      const left = async (rowsMax: number): Promise<number> => {
        await started.database.transaction((tx) => store.prune(tx, 3000, rowsMax));
        return (await store.listOfPerson(started.database.sql, userId, 10)).length;
      };
      expect(await left(1)).toBeGreaterThanOrEqual(2);
      expect(await left(1000)).toBe(1);
      expect(await store.listOfPerson(started.database.sql, userId, 10)).toEqual([kept]);
    });
  });
}
