import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { systemRandom } from "../../../platform/clock/random.ts";
import type { StartedStore, StartStore } from "../store-fixture.ts";
import type { Inviter, Newcomer, NewcomerStore } from "./store.ts";

/** What every store of newcomers does. */
export function describeNewcomerStore(name: string, start: StartStore<NewcomerStore>): void {
  describe(`a store of newcomers: ${name}`, () => {
    let started: StartedStore<NewcomerStore>;
    let store: NewcomerStore;
    beforeAll(async () => {
      started = await start();
      ({ store } = started);
    });
    afterAll(() => started[Symbol.asyncDispose]());

    const add = async (email: string, createTimeMs: number, inviter?: Inviter): Promise<Newcomer> => {
      const newcomer = {
        newcomerId: systemRandom.uuid(),
        email,
        displayName: "Ada",
        passwordHash: inviter === undefined ? "hash" : undefined,
        createTimeMs,
        expireTimeMs: createTimeMs + 1000,
      };
      await started.database.transaction((tx) => store.insert(tx, newcomer, inviter));
      return newcomer;
    };
    const find = (newcomerId: string) => store.find(started.database.sql, newcomerId);

    test("gives back who was added, several of one address, and counts those before one that came in the same way", async () => {
      const invited = await add("ada@example.org", 1000, { principal: "person:1", requestId: "" });
      const [first, second, third] = [
        await add("ada@example.org", 1000),
        await add("ada@example.org", 2000),
        await add("ada@example.org", 3000),
      ];
      await add("eve@example.org", 2000);
      expect([await find(first.newcomerId), await find(invited.newcomerId)]).toEqual([first, invited]);
      expect(await find(systemRandom.uuid())).toBeUndefined();
      const { sql } = started.database;
      expect(await store.countEarlier(sql, third, 999)).toBe(2);
      expect(await store.countEarlier(sql, third, 1000)).toBe(1);
      expect(await store.countEarlier(sql, second, 0)).toBe(1);
      expect(await store.countEarlier(sql, invited, 0)).toBe(0);
    });

    test("locks all of an address at once, and removes them together", async () => {
      const [one, other] = [await add("two@example.org", 1000), await add("two@example.org", 1000)];
      const { waited, result } = await started.waits(
        (tx) => store.lock(tx, one.newcomerId),
        (tx) => store.lock(tx, other.newcomerId),
      );
      expect({ waited, result }).toEqual({ waited: true, result: other });
      const removed = await started.waits(
        async (tx) => {
          await store.lock(tx, one.newcomerId);
          await store.removeByEmail(tx, one.email);
        },
        (tx) => store.lock(tx, other.newcomerId),
      );
      expect(removed).toEqual({ waited: true, result: undefined });
    });

    test("finds an invitation by who made it and the key of the request, and counts those that are open", async () => {
      const { sql } = started.database;
      const before = await store.countInvited(sql, 5000, 100);
      const inviter = { principal: "api_key:1", requestId: "request-1" };
      const invited = await add("bob@example.org", 5000, inviter);
      await add("carol@example.org", 5000, { principal: "api_key:1", requestId: "" });
      expect(await store.findInvited(sql, inviter, 5999)).toEqual(invited);
      expect(await store.findInvited(sql, inviter, 6000)).toBeUndefined();
      expect(await store.findInvited(sql, { ...inviter, principal: "api_key:2" }, 5000)).toBeUndefined();
      expect(await store.findInvited(sql, { ...inviter, requestId: "" }, 5000)).toBeUndefined();
      expect((await store.countInvited(sql, 5000, 100)) - before).toBe(2);
      expect(await store.countInvited(sql, 5000, 1)).toBe(1);
      expect(await store.countInvited(sql, 6000, 100)).toBe(0);
    });

    test("lists who was invited and can still accept, newest first, and removes one alone", async () => {
      const { database } = started;
      const listed = async (beforeId: string, nowMs: number, limit = 100): Promise<readonly unknown[]> =>
        (await store.listInvited(database.sql, { beforeId, nowMs }, limit)).map(({ email, inviter }) => [
          email,
          inviter,
        ]);
      const first = await add("l1@example.org", 20_000, { principal: "person:1", requestId: "" });
      const second = await add("l2@example.org", 20_001, { principal: "api_key:1", requestId: "" });
      await add("l3@example.org", 20_001);
      expect(await listed("", 20_999)).toEqual([
        ["l2@example.org", "api_key:1"],
        ["l1@example.org", "person:1"],
      ]);
      expect(await listed("", 21_000)).toEqual([["l2@example.org", "api_key:1"]]);
      expect(await listed(second.newcomerId, 20_999)).toEqual([["l1@example.org", "person:1"]]);
      expect(await listed("", 20_999, 1)).toEqual([["l2@example.org", "api_key:1"]]);
      await database.transaction((tx) => store.remove(tx, first.newcomerId));
      expect([await find(first.newcomerId), await find(second.newcomerId)]).toEqual([undefined, second]);
    });

    test("removes who has ended", async () => {
      const [over, open] = [await add("over@example.org", 8000), await add("open@example.org", 8001)];
      await started.database.transaction((tx) => store.prune(tx, 9000, 100));
      expect([await find(over.newcomerId), await find(open.newcomerId)]).toEqual([undefined, open]);
    });
  });
}
