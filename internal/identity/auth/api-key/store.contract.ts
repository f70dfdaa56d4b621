import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { systemRandom } from "../../../platform/clock/random.ts";
import type { Transaction } from "../../../platform/postgres/database.ts";
import type { StartedStore, StartStore } from "../store-fixture.ts";
import type { ApiKeyRow, ApiKeyStore } from "./store.ts";

/** What every store of API keys does. */
export function describeApiKeyStore(name: string, start: StartStore<ApiKeyStore>): void {
  describe(`a store of API keys: ${name}`, () => {
    let started: StartedStore<ApiKeyStore>;
    let store: ApiKeyStore;
    let ownerId: string;
    beforeAll(async () => {
      started = await start();
      ({ store } = started);
      ({ userId: ownerId } = await started.newAccount());
    });
    afterAll(() => started[Symbol.asyncDispose]());

    const add = async (more: Partial<ApiKeyRow> = {}): Promise<ApiKeyRow> => {
      const row = {
        apiKeyId: systemRandom.uuid(),
        ownerId,
        displayName: "shop",
        scopes: ["counts.read", "counts.write"],
        secretHash: systemRandom.bytes(32),
        managedName: undefined,
        createTimeMs: 1000,
        expireTimeMs: undefined,
        ...more,
      };
      await started.database.transaction((tx) => store.insert(tx, row));
      return row;
    };
    const revoke = (apiKeyId: string, nowMs: number): Promise<bigint> =>
      started.database.transaction((tx) => store.revoke(tx, apiKeyId, nowMs));
    const managed = (name: string) => started.database.transaction((tx) => store.lockManaged(tx, name));
    const idsOf = async (query: { beforeId?: string; withEnded?: boolean; nowMs?: number }, limit = 100) =>
      (await store.list(started.database.sql, { beforeId: "", withEnded: false, nowMs: 1000, ...query }, limit)).map(
        ({ apiKeyId }) => apiKeyId,
      );

    test("gives back what was added, by the hash of its secret and locked", async () => {
      const { secretHash, managedName: _, ...plain } = await add({ expireTimeMs: 9000 });
      const key = { ...plain, useTimeMs: undefined, revokeTimeMs: undefined };
      const { sql } = started.database;
      expect(await store.findBySecretHash(sql, secretHash)).toEqual(key);
      expect(await store.findBySecretHash(sql, systemRandom.bytes(32))).toBeUndefined();
      const lock = (tx: Transaction) => store.lock(tx, plain.apiKeyId);
      expect(await started.waits(lock, lock)).toEqual({ waited: true, result: key });
    });

    test("refuses a secret twice, and a managed name whose key is not revoked", async () => {
      const first = await add({ managedName: "demo" });
      const outcomeOf = (more: Partial<ApiKeyRow>): Promise<string> =>
        add(more).then(
          () => "added",
          () => "refused",
        );
      expect(await outcomeOf({ secretHash: first.secretHash })).toBe("refused");
      expect(await outcomeOf({ managedName: "demo" })).toBe("refused");
      expect(await managed("demo")).toMatchObject({ apiKeyId: first.apiKeyId });
      expect(await revoke(first.apiKeyId, 2000)).toBe(2n);
      expect(await managed("demo")).toBeUndefined();
      expect(await outcomeOf({ managedName: "demo" })).toBe("added");
    });

    test("lists newest first, live ones alone unless ended ones are asked for, and counts the live", async () => {
      const before = await idsOf({});
      const [lasting, expiring, revoked] = [await add(), await add({ expireTimeMs: 2000 }), await add()];
      await revoke(revoked.apiKeyId, 1500);
      const all = [revoked.apiKeyId, expiring.apiKeyId, lasting.apiKeyId];
      expect(await idsOf({ nowMs: 1999 })).toEqual([expiring.apiKeyId, lasting.apiKeyId, ...before]);
      expect(await idsOf({ nowMs: 2000 })).toEqual([lasting.apiKeyId, ...before]);
      expect((await idsOf({ withEnded: true })).slice(0, 3)).toEqual(all);
      expect(await idsOf({ withEnded: true, beforeId: revoked.apiKeyId }, 1)).toEqual([expiring.apiKeyId]);
      const live = await started.database.transaction((tx) => store.countLive(tx, 2000));
      expect(live).toBe(before.length + 1);
    });

    test("knows an owner's keys, locks those that are not revoked, and loses them with the account", async () => {
      const { userId } = await started.newAccount();
      const { sql } = started.database;
      const [first, second, revoked] = [
        await add({ ownerId: userId }),
        await add({ ownerId: userId, expireTimeMs: 2000 }),
        await add({ ownerId: userId }),
      ];
      await revoke(revoked.apiKeyId, 1500);
      const listed = await store.listOfOwner(sql, userId, 2);
      expect(listed.map(({ apiKeyId }) => apiKeyId)).toEqual([revoked.apiKeyId, second.apiKeyId]);
      expect(await store.ownerOf(sql, first.apiKeyId)).toBe(userId);
      expect(await store.ownerOf(sql, systemRandom.uuid())).toBeUndefined();
      const lock = (tx: Transaction) => store.lockOfOwner(tx, userId);
      expect(await started.waits(lock, lock)).toEqual({ waited: true, result: [first.apiKeyId, second.apiKeyId] });
      await sql`DELETE FROM accounts WHERE user_id = ${userId}`;
      expect(await store.listOfOwner(sql, userId, 2)).toEqual([]);
      expect(await store.findBySecretHash(sql, first.secretHash)).toBeUndefined();
    });

    test("keeps the latest use, and removes what ended long ago", async () => {
      const key = await add();
      const { sql } = started.database;
      await store.markUsed(sql, key.apiKeyId, 5000);
      await store.markUsed(sql, key.apiKeyId, 4000);
      expect(await store.findBySecretHash(sql, key.secretHash)).toMatchObject({ useTimeMs: 5000 });
      await revoke(key.apiKeyId, 6000);
      const expired = await add({ expireTimeMs: 6000 });
      await started.database.transaction((tx) => store.prune(tx, 6000, 1000));
      expect(await idsOf({ withEnded: true })).toContain(key.apiKeyId);
      await started.database.transaction((tx) => store.prune(tx, 6001, 1000));
      const left = await idsOf({ withEnded: true });
      expect([left.includes(key.apiKeyId), left.includes(expired.apiKeyId)]).toEqual([false, false]);
    });
  });
}
