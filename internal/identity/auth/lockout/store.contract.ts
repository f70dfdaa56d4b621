import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { Transaction } from "../../../platform/postgres/database.ts";
import { randomHash, type StartedStore, type StartStore } from "../store-fixture.ts";
import type { FailureCount } from "./policy.ts";
import type { LockoutStore } from "./store.ts";

/** What every store of failed attempts does. */
export function describeLockoutStore(name: string, start: StartStore<LockoutStore>): void {
  describe(`a store of failed attempts: ${name}`, () => {
    let started: StartedStore<LockoutStore>;
    let store: LockoutStore;
    beforeAll(async () => {
      started = await start();
      ({ store } = started);
    });
    afterAll(() => started[Symbol.asyncDispose]());
    const none = { failures: 0, windowEndMs: 0, lockEndMs: 0 };
    const counted = { failures: 3, windowEndMs: 5000, lockEndMs: 4000 };
    const read = (subject: Uint8Array): Promise<FailureCount> =>
      started.database.transaction((tx) => store.lock(tx, subject));
    const write = (subject: Uint8Array, count = counted): Promise<void> =>
      started.database.transaction(async (tx) => {
        await store.lock(tx, subject);
        await store.write(tx, subject, count);
      });

    test("locks a subject that nobody has counted yet against a second first attempt", async () => {
      const subject = randomHash();
      const first = async (tx: Transaction): Promise<void> => {
        expect(await store.lock(tx, subject)).toEqual(none);
        await store.write(tx, subject, counted);
      };
      const { waited, result } = await started.waits(first, (tx) => store.lock(tx, subject));
      expect({ waited, result }).toEqual({ waited: true, result: counted });
    });

    test("takes a failure back, and a lock only while it is still that one", async () => {
      const subject = randomHash();
      await write(subject);
      await started.database.transaction((tx) => store.takeBack(tx, subject, 3999));
      expect(await read(subject)).toEqual({ ...counted, failures: 2 });
      await started.database.transaction((tx) => store.takeBack(tx, subject, 4000));
      expect(await read(subject)).toEqual({ ...counted, failures: 1, lockEndMs: 0 });
      for (let time = 0; time < 2; time++) await started.database.transaction((tx) => store.takeBack(tx, subject, 0));
      expect((await read(subject)).failures).toBe(0);
      await write(subject);
      await started.database.transaction((tx) => store.forget(tx, subject));
      expect(await read(subject)).toEqual(none);
    });

    test("knows the networks of a person for as long as is asked, and forgets the longest unused", async () => {
      const { userId, email } = await started.newAccount();
      const networks = [randomHash(), randomHash(), randomHash()];
      for (const [index, networkHash] of networks.entries()) {
        const network = { userId, networkHash, nowMs: 1000 * (index + 1) };
        await started.database.transaction((tx) => store.rememberNetwork(tx, network, 2));
      }
      const familiar = (networkHash: Uint8Array, sinceMs: number, who = email): Promise<boolean> =>
        store.isFamiliar(started.database.sql, who, networkHash, sinceMs);
      expect(await Promise.all(networks.map((network) => familiar(network, 0)))).toEqual([false, true, true]);
      expect([await familiar(networks[1]!, 1999), await familiar(networks[1]!, 2000)]).toEqual([true, false]);
      expect(await familiar(networks[1]!, 0, "nobody@example.org")).toBe(false);
    });

    test("removes what neither counts nor locks any more, and networks that were not used for long", async () => {
      const [counting, locking, over] = [randomHash(), randomHash(), randomHash()];
      await write(counting, { failures: 1, windowEndMs: 9000, lockEndMs: 0 });
      await write(locking, { failures: 2, windowEndMs: 1000, lockEndMs: 9000 });
      await write(over, { failures: 3, windowEndMs: 1000, lockEndMs: 2000 });
      const { userId, email } = await started.newAccount();
      const networkHash = randomHash();
      await started.database.transaction((tx) => store.rememberNetwork(tx, { userId, networkHash, nowMs: 1000 }, 9));
      await started.database.transaction((tx) => store.prune(tx, { nowMs: 8000, familiarSinceMs: 1001 }, 1000));
      expect([await read(counting), await read(locking), await read(over)]).toMatchObject([
        { failures: 1 },
        { failures: 2 },
        none,
      ]);
      expect(await store.isFamiliar(started.database.sql, email, networkHash, 0)).toBe(false);
    });
  });
}
