import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { systemRandom } from "../../../platform/clock/random.ts";
import type { Transaction } from "../../../platform/postgres/database.ts";
import { randomHash, type StartedStore, type StartStore } from "../store-fixture.ts";
import type { RefreshGrace, SessionStore } from "./store.ts";

/** What every store of sessions does. */
export function describeSessionStore(name: string, start: StartStore<SessionStore>): void {
  describe(`a store of sessions: ${name}`, () => {
    let started: StartedStore<SessionStore>;
    let store: SessionStore;
    beforeAll(async () => {
      started = await start();
      ({ store } = started);
    });
    afterAll(() => started[Symbol.asyncDispose]());

    const add = async (userId: string, times: { useTimeMs?: number; expireTimeMs?: number } = {}) => {
      const session = {
        sessionId: systemRandom.uuid(),
        userAgent: "app/1",
        address: "192.0.2.1",
        createTimeMs: 1000,
        useTimeMs: 1000,
        expireTimeMs: 9000,
        ...times,
      };
      const refreshHash = randomHash();
      await started.database.transaction((tx) => store.insert(tx, { ...session, userId, refreshHash }));
      return { session, sessionId: session.sessionId, refreshHash };
    };

    test("gives back what was added, locked against others", async () => {
      const { userId } = await started.newAccount();
      const { sessionId, refreshHash } = await add(userId);
      const lock = (tx: Transaction) => store.lock(tx, sessionId);
      const { waited, result } = await started.waits(lock, lock);
      expect(waited).toBe(true);
      expect(result).toMatchObject({ userId, createTimeMs: 1000, expireTimeMs: 9000, isEnded: false });
      expect(Buffer.compare(result!.refreshHash, refreshHash)).toBe(0);
      expect(await started.database.transaction((tx) => store.lock(tx, systemRandom.uuid()))).toBeUndefined();
    });

    test("ends a session once, with its next version, and its graces with it", async () => {
      const { userId } = await started.newAccount();
      const { sessionId } = await add(userId);
      const refreshHash = randomHash();
      const grace = {
        refreshHash,
        sessionId,
        successorSealed: randomHash(),
        clientHash: randomHash(),
        rotateTimeMs: 2000,
      };
      const ended = await started.database.transaction(async (tx) => {
        await store.addGrace(tx, grace, 0, 16);
        return [await store.end(tx, sessionId, 3000), await store.end(tx, sessionId, 4000)];
      });
      expect(ended).toEqual([{ version: 2n, useTimeMs: 1000 }, undefined]);
      const [left, found] = await started.database.transaction(async (tx) => [
        await store.lock(tx, sessionId),
        await store.findGrace(tx, sessionId, refreshHash),
      ]);
      expect([left, found]).toMatchObject([{ isEnded: true }, undefined]);
    });

    test("lists live sessions newest first, in pages, and all of them with when they ended", async () => {
      const { userId } = await started.newAccount();
      const first = await add(userId);
      const expired = await add(userId, { expireTimeMs: 2000 });
      const ended = await add(userId);
      const last = await add(userId);
      await started.database.transaction((tx) => store.end(tx, ended.sessionId, 2500));
      const { sql } = started.database;
      expect(await store.list(sql, userId, 3000, "", 10)).toEqual([last.session, first.session]);
      expect(await store.list(sql, userId, 3000, last.sessionId, 10)).toEqual([first.session]);
      expect(await store.list(sql, userId, 3000, "", 1)).toEqual([last.session]);
      const all = await store.listAll(sql, userId, 10);
      const ends = Object.fromEntries(all.map(({ sessionId, expireTimeMs }) => [sessionId, expireTimeMs]));
      expect(ends).toEqual({
        [first.sessionId]: 9000,
        [expired.sessionId]: 2000,
        [ended.sessionId]: 2500,
        [last.sessionId]: 9000,
      });
    });

    test("names the sessions that are live and longest unused, and those to end but for one", async () => {
      const { userId } = await started.newAccount();
      const [one, two, three] = [
        await add(userId, { useTimeMs: 3000 }),
        await add(userId, { useTimeMs: 1000 }),
        await add(userId, { useTimeMs: 2000 }),
      ];
      await started.database.transaction(async (tx) => {
        expect(await store.unusedOfPerson(tx, userId, 4000, 1)).toEqual([three.sessionId, two.sessionId]);
        expect(await store.unusedOfPerson(tx, userId, 9000, 0)).toEqual([]);
        expect(await store.lockOfPerson(tx, userId, two.sessionId)).toEqual([one.sessionId, three.sessionId]);
        expect(await store.lockOfPerson(tx, userId, "")).toHaveLength(3);
      });
    });

    test("rotates, and keeps the newest graces of a session within their time", async () => {
      const { userId } = await started.newAccount();
      const { sessionId } = await add(userId);
      const graces = [1000, 2000, 3000, 4000].map((rotateTimeMs): RefreshGrace => ({
        refreshHash: randomHash(),
        sessionId,
        successorSealed: randomHash(),
        clientHash: randomHash(),
        rotateTimeMs,
      }));
      const next = randomHash();
      const kept = await started.database.transaction(async (tx) => {
        await store.rotate(tx, sessionId, { refreshHash: next, useTimeMs: 5000, expireTimeMs: 10_000 });
        for (const grace of graces.slice(0, 3)) await store.addGrace(tx, grace, 0, 2);
        await store.addGrace(tx, graces[3]!, 3500, 16);
        return Promise.all(graces.map(({ refreshHash }) => store.findGrace(tx, sessionId, refreshHash)));
      });
      expect(kept.map((grace) => grace?.rotateTimeMs)).toEqual([undefined, undefined, undefined, 4000]);
      const session = await started.database.transaction((tx) => store.lock(tx, sessionId));
      expect(Buffer.compare(session!.refreshHash, next)).toBe(0);
      expect(session!.expireTimeMs).toBe(10_000);
      // A clock that ran ahead was put back: it stays known until when tokens may be dated.
      const last = await started.database.transaction(async (tx) => {
        await store.rotate(tx, sessionId, { refreshHash: next, useTimeMs: 4000, expireTimeMs: 10_000 });
        return store.end(tx, sessionId, 4500);
      });
      expect(last?.useTimeMs).toBe(5000);
    });

    test("removes what ended long ago, so many at a time", async () => {
      const { userId } = await started.newAccount();
      for (let time = 0; time < 3; time++) await add(userId, { expireTimeMs: 100 });
      const live = await add(userId, { expireTimeMs: 9_999_999 });
      const left = async (): Promise<number> => (await store.listAll(started.database.sql, userId, 10)).length;
      await started.database.transaction((tx) => store.prune(tx, 101, 2));
      expect(await left()).toBe(2);
      await started.database.transaction((tx) => store.prune(tx, 101, 2));
      expect((await store.listAll(started.database.sql, userId, 10)).map(({ sessionId }) => sessionId)).toEqual([
        live.sessionId,
      ]);
    });
  });
}
