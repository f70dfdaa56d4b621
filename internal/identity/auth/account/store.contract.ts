import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { systemRandom } from "../../../platform/clock/random.ts";
import type { Transaction } from "../../../platform/postgres/database.ts";
import type { StartedStore, StartStore } from "../store-fixture.ts";
import type { AccountStore } from "./store.ts";

/** What every store of accounts does. */
export function describeAccountStore(name: string, start: StartStore<AccountStore>): void {
  describe(`a store of accounts: ${name}`, () => {
    let started: StartedStore<AccountStore>;
    let store: AccountStore;
    beforeAll(async () => {
      started = await start();
      ({ store } = started);
    });
    afterAll(() => started[Symbol.asyncDispose]());
    const nobody = systemRandom.uuid();

    test("gives back what was added, by id and by address, and nobody else", async () => {
      const row = {
        userId: systemRandom.uuid(),
        email: "ada@example.org",
        displayName: "Ada",
        passwordHash: "hash",
        role: "member",
        createTimeMs: 1000,
      };
      const { database } = started;
      expect(await database.transaction((tx) => store.insert(tx, row))).toBe(true);
      const { role, ...plain } = row;
      const account = {
        ...plain,
        isSuspended: false,
        isEmailVerified: true,
        emailVerifyTimeMs: 1000,
        proveByTimeMs: undefined,
        version: 1n,
        signUpRoles: [role],
        statusVersion: { epoch: 0, version: 0n },
      };
      expect(await store.find(database.sql, row.userId)).toEqual(account);
      expect(await store.findByEmail(database.sql, row.email)).toEqual(account);
      expect(await database.transaction((tx) => store.lock(tx, row.userId))).toEqual(account);
      expect(await store.find(database.sql, nobody)).toBeUndefined();
      // The address is taken; nothing is left of who came second.
      const second = { ...row, userId: nobody };
      expect(await database.transaction((tx) => store.insert(tx, second))).toBe(false);
      expect(await store.find(database.sql, nobody)).toBeUndefined();
    });

    test("tells whose address nobody had proven when the time for it was over, by ids", async () => {
      const { sql } = started.database;
      const ids: string[] = [];
      for (const [proveByMs, verifyTime] of [
        [3000, null],
        [2000, null],
        [2000, new Date(1000)],
        [3001, null],
        [null, null],
      ] as const) {
        const { userId } = await started.newAccount();
        const proveBy = proveByMs === null ? null : new Date(proveByMs);
        await sql`UPDATE accounts SET prove_by_time = ${proveBy}, email_verify_time = ${verifyTime} WHERE user_id = ${userId}`;
        ids.push(userId);
      }
      const [first = "", second = ""] = [ids[0]!, ids[1]!].toSorted();
      expect(await store.lapsed(sql, 3000, "", 100)).toEqual([first, second]);
      expect(await store.lapsed(sql, 3000, "", 1)).toEqual([first]);
      expect(await store.lapsed(sql, 3000, first, 100)).toEqual([second]);
    });

    test("of two that add one address at once, lets the second wait and then fail", async () => {
      const row = { email: "two@example.org", displayName: "", passwordHash: "hash", role: "member", createTimeMs: 1 };
      const add = (tx: Transaction): Promise<boolean> => store.insert(tx, { ...row, userId: systemRandom.uuid() });
      const { waited, result } = await started.waits(add, add);
      expect({ waited, result }).toEqual({ waited: true, result: false });
    });

    test("locks an account against others that lock or hold it; those that hold it do not keep each other", async () => {
      const { userId } = await started.newAccount();
      const lock = (tx: Transaction) => store.lock(tx, userId);
      const hold = (tx: Transaction) => store.hold(tx, userId);
      expect((await started.waits(lock, lock)).waited).toBe(true);
      expect((await started.waits(lock, hold)).waited).toBe(true);
      expect((await started.waits(hold, (tx) => store.remove(tx, userId))).waited).toBe(true);
      const other = await started.newAccount();
      const holdOther = (tx: Transaction) => store.hold(tx, other.userId);
      expect(await started.waits(holdOther, holdOther)).toEqual({ waited: false, result: true });
      expect(await started.database.transaction(hold)).toBe(false); // Removed above.
    });

    test("changes password, address, status and roles as it is told, and versions only upwards", async () => {
      const { userId } = await started.newAccount();
      const { database } = started;
      await database.sql`UPDATE accounts SET email_verify_time = NULL WHERE user_id = ${userId}`;
      await database.transaction(async (tx) => {
        await store.setPasswordHash(tx, userId, "renewed");
        await store.verifyEmail(tx, userId, 5000);
        await store.verifyEmail(tx, userId, 6000);
        await store.setStatus(tx, userId, true, { epoch: 1, version: 3n });
      });
      expect(await store.find(database.sql, userId)).toMatchObject({
        passwordHash: "renewed",
        isEmailVerified: true,
        emailVerifyTimeMs: 5000,
        isSuspended: true,
        statusVersion: { epoch: 1, version: 3n },
      });
      const raised = (version: bigint, { id = userId, epoch = 0 } = {}): Promise<boolean> =>
        database.transaction((tx) => store.raiseRolesVersion(tx, id, { epoch, version }));
      expect([await raised(2n), await raised(2n), await raised(1n), await raised(3n)]).toEqual([
        true,
        false,
        false,
        true,
      ]);
      expect([await raised(1n, { epoch: 1 }), await raised(9n), await raised(1n, { epoch: 1 })]).toEqual([
        true,
        false,
        false,
      ]);
      expect(await raised(9n, { id: nobody })).toBe(false);
    });

    test("pages through ids in their order, and locks those that are there", async () => {
      const { database } = started;
      for (let time = 0; time < 3; time++) await started.newAccount();
      const all = await store.ids(database.sql, "", 1000);
      expect(all.length).toBeGreaterThan(2);
      expect(all.toSorted()).toEqual([...all]);
      expect(await store.ids(database.sql, all[0]!, 1)).toEqual([all[1]!]);
      const given = [all[1]!, nobody, all[0]!];
      const locked = await database.transaction((tx) => store.lockAll(tx, given));
      expect(locked.map(({ userId }) => userId)).toEqual([all[0]!, all[1]!]);
    });
  });
}
