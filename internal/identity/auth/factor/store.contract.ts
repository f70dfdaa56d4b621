import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { Transaction } from "../../../platform/postgres/database.ts";
import { randomHash, type StartedStore, type StartStore } from "../store-fixture.ts";
import type { FactorStore } from "./store.ts";

/** What every store of second factors does. */
export function describeFactorStore(name: string, start: StartStore<FactorStore>): void {
  describe(`a store of second factors: ${name}`, () => {
    let started: StartedStore<FactorStore>;
    let store: FactorStore;
    beforeAll(async () => {
      started = await start();
      ({ store } = started);
    });
    afterAll(() => started[Symbol.asyncDispose]());

    test("replaces a factor until it is in force, and removes it with its recovery codes", async () => {
      const { userId } = await started.newAccount();
      const { database } = started;
      const [first, second, third] = [randomHash(), randomHash(), randomHash()];
      const codes = [randomHash(), randomHash()];
      await database.transaction(async (tx) => {
        await store.begin(tx, userId, first, 1000);
        await store.begin(tx, userId, second, 2000);
      });
      const begun = await store.find(database.sql, userId);
      expect(begun).toMatchObject({ createTimeMs: 2000, isConfirmed: false, usedStep: 0 });
      await database.transaction(async (tx) => {
        await store.confirm(tx, userId, { usedStep: 7, recoveryHashes: codes }, 3000);
        await store.begin(tx, userId, third, 4000);
        await store.markUsed(tx, userId, 9);
      });
      const confirmed = await store.find(database.sql, userId);
      expect(confirmed).toMatchObject({ createTimeMs: 2000, isConfirmed: true, usedStep: 9 });
      expect(Buffer.compare(confirmed!.secretSealed, second)).toBe(0);
      expect(await store.countRecoveryCodes(database.sql, userId)).toBe(2);
      await database.transaction((tx) => store.remove(tx, userId));
      expect(await store.find(database.sql, userId)).toBeUndefined();
      expect(await store.countRecoveryCodes(database.sql, userId)).toBe(0);
    });

    test("spends a recovery code once, of two transactions in one", async () => {
      const { userId } = await started.newAccount();
      const code = randomHash();
      await started.database.transaction(async (tx) => {
        await store.begin(tx, userId, randomHash(), 1000);
        await store.confirm(tx, userId, { usedStep: 1, recoveryHashes: [code, randomHash()] }, 2000);
      });
      const spend = (tx: Transaction) => store.spendRecoveryCode(tx, userId, code);
      expect(await started.waits(spend, spend)).toEqual({ waited: true, result: false });
      expect(await store.countRecoveryCodes(started.database.sql, userId)).toBe(1);
    });

    test("finds a challenge until it ends, and lets one transaction take it", async () => {
      const { userId, email } = await started.newAccount();
      const challengeHash = randomHash();
      const { sql } = started.database;
      await started.database.transaction((tx) =>
        store.addChallenge(tx, { userId, challengeHash, expireTimeMs: 5000 }, 16),
      );
      expect(await store.findChallenge(sql, challengeHash, 4999)).toEqual({ userId, email });
      expect(await store.findChallenge(sql, challengeHash, 5000)).toBeUndefined();
      expect(await store.findChallenge(sql, randomHash(), 1)).toBeUndefined();
      const take = (tx: Transaction) => store.takeChallenge(tx, challengeHash);
      expect(await started.waits(take, take)).toEqual({ waited: true, result: false });
    });

    test("keeps a person's longest lasting challenges, ends all of them, and removes those that ended", async () => {
      const { userId } = await started.newAccount();
      const { sql } = started.database;
      const add = async (expireTimeMs: number, keptMax: number): Promise<Uint8Array> => {
        const challengeHash = randomHash();
        await started.database.transaction((tx) =>
          store.addChallenge(tx, { userId, challengeHash, expireTimeMs }, keptMax),
        );
        return challengeHash;
      };
      const isThere = async (challengeHash: Uint8Array): Promise<boolean> =>
        (await store.findChallenge(sql, challengeHash, 0)) !== undefined;
      const [one, two, three] = [await add(1000, 2), await add(3000, 2), await add(2000, 2)];
      expect([await isThere(one), await isThere(two), await isThere(three)]).toEqual([false, true, true]);
      await started.database.transaction((tx) => store.prune(tx, 2001, 100));
      expect([await isThere(two), await isThere(three)]).toEqual([true, false]);
      await started.database.transaction((tx) => store.endChallenges(tx, userId));
      expect(await isThere(two)).toBe(false);
    });
  });
}
