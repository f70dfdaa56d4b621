import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { systemRandom } from "../../../platform/clock/random.ts";
import type { Transaction } from "../../../platform/postgres/database.ts";
import type { StartedStore, StartStore } from "../store-fixture.ts";
import { postgresNewcomerStore } from "../newcomer/store-postgres.ts";
import type { MailKind, MailStore } from "./store.ts";

/** What every store of mails does. */
export function describeMailStore(name: string, start: StartStore<MailStore>): void {
  describe(`a store of mails: ${name}`, () => {
    let started: StartedStore<MailStore>;
    let store: MailStore;
    beforeAll(async () => {
      started = await start();
      ({ store } = started);
    });
    afterAll(() => started[Symbol.asyncDispose]());

    const add = async (email: string, nowMs: number, kind: MailKind = "VERIFY_EMAIL", waitingMax = 1000) => {
      const mailId = systemRandom.uuid();
      const isAdded = await store.add(started.database.sql, { mailId, kind, email, nowMs }, waitingMax);
      return isAdded ? mailId : undefined;
    };
    const due = async (nowMs: number, limit = 100): Promise<readonly string[]> =>
      (await started.database.transaction((tx) => store.lockDue(tx, { nowMs, latestMs: 1e13 }, limit))).map(
        ({ mailId }) => mailId,
      );
    const empty = async (): Promise<void> => {
      for (const mailId of await due(1e12)) await store.remove(started.database.sql, mailId);
    };

    test("gives mails that are due, the longest due first, to one transaction at a time", async () => {
      await empty();
      const { userId, email } = await started.newAccount();
      const second = await add(email, 2000);
      const first = await add("nobody@example.org", 1000, "RESET_PASSWORD");
      expect([await due(999), await due(1000), await due(5000, 1)]).toEqual([[], [first!], [first!]]);
      const { result } = await started.waits(
        (tx) => store.lockDue(tx, { nowMs: 5000, latestMs: 1e13 }, 1),
        (tx) => store.lockDue(tx, { nowMs: 5000, latestMs: 1e13 }, 10),
      );
      const mail = { mailId: second!, kind: "VERIFY_EMAIL", userId, newcomerId: undefined } as const;
      expect(result).toEqual([{ ...mail, attempts: 0, createTimeMs: 2000 }]);
      await started.database.transaction((tx) => store.postpone(tx, second!, 9000));
      expect([await due(8999), await due(9000)]).toEqual([[first!], [first!, second!]]);
      const [, postponed] = await started.database.transaction((tx) =>
        store.lockDue(tx, { nowMs: 9000, latestMs: 1e13 }, 9),
      );
      expect(postponed).toMatchObject({ mailId: second, attempts: 1 });
      // Due later than it can be: the clock that said so was put back.
      const dueUntil = async (latestMs: number) =>
        (await started.database.transaction((tx) => store.lockDue(tx, { nowMs: 5000, latestMs }, 9))).length;
      expect([await dueUntil(8999), await dueUntil(9000)]).toEqual([2, 1]);
    });

    test("takes no more than may wait, and adds without waiting for the account's lock", async () => {
      await empty();
      const { email } = await started.newAccount();
      expect([(await add(email, 1, "VERIFY_EMAIL", 1)) !== undefined, await add(email, 1, "VERIFY_EMAIL", 1)]).toEqual([
        true,
        undefined,
      ]);
      expect(await store.count(started.database.sql)).toBe(1);
      const mail = { mailId: systemRandom.uuid(), kind: "RESET_PASSWORD", email, nowMs: 1 } as const;
      const { waited, result } = await started.waits(
        (tx) => tx`SELECT 1 FROM accounts WHERE email = ${email} FOR UPDATE`,
        (tx) => store.add(tx, mail, 1000),
      );
      expect({ waited, result }).toEqual({ waited: false, result: true });
    });

    test("finds a token of its kind until it ends, and lets one transaction take it", async () => {
      const { userId } = await started.newAccount();
      const tokenHash = systemRandom.bytes(32);
      const token = { owner: { userId }, kind: "RESET_PASSWORD", tokenHash } as const;
      await started.database.transaction((tx) => store.addToken(tx, token, { nowMs: 1000, expireTimeMs: 5000 }));
      await started.database.transaction((tx) => store.addToken(tx, token, { nowMs: 2000, expireTimeMs: 9000 }));
      const { sql } = started.database;
      expect(await store.findToken(sql, "RESET_PASSWORD", tokenHash, 4999)).toEqual({ userId });
      expect(await store.findToken(sql, "RESET_PASSWORD", tokenHash, 5000)).toBeUndefined();
      expect(await store.findToken(sql, "VERIFY_EMAIL", tokenHash, 4999)).toBeUndefined();
      const recent = (sinceMs: number, hash: Uint8Array = tokenHash) =>
        started.database.transaction((tx) =>
          store.recentTokens(tx, { ...token, tokenHash: hash }, { sinceMs, untilMs: 1e13 }),
        );
      expect(await recent(999)).toEqual({ count: 1, isKnown: true });
      expect(await recent(999, systemRandom.bytes(32))).toEqual({ count: 1, isKnown: false });
      expect(await recent(1000)).toEqual({ count: 0, isKnown: false });
      const until = (untilMs: number) =>
        started.database.transaction((tx) => store.recentTokens(tx, token, { sinceMs: 0, untilMs }));
      expect([(await until(999)).count, (await until(1000)).count]).toEqual([0, 1]);
      const take = (tx: Transaction) => store.takeToken(tx, "RESET_PASSWORD", tokenHash);
      expect(await started.waits(take, take)).toEqual({ waited: true, result: false });
    });

    test("gives a mail and a token to a newcomer, who may come after it, and to an address that somebody signed up with", async () => {
      await empty();
      const newcomerId = systemRandom.uuid();
      const mail = { mailId: systemRandom.uuid(), kind: "VERIFY_EMAIL", newcomerId, nowMs: 1000 } as const;
      const { sql } = started.database;
      expect([await store.addToNewcomer(sql, mail, 1), await store.addToNewcomer(sql, mail, 1)]).toEqual([true, false]);
      const email = `${newcomerId}@example.org`;
      const times = { createTimeMs: 1000, expireTimeMs: 9000 };
      const newcomer = { newcomerId, email, displayName: "", passwordHash: "hash", ...times };
      await started.database.transaction((tx) => postgresNewcomerStore.insert(tx, newcomer));
      await add(email, 2000, "RESET_PASSWORD");
      const waiting = await started.database.transaction((tx) =>
        store.lockDue(tx, { nowMs: 2000, latestMs: 1e13 }, 10),
      );
      expect(waiting).toMatchObject([
        { kind: "VERIFY_EMAIL", userId: undefined, newcomerId },
        { kind: "RESET_PASSWORD", userId: undefined, newcomerId },
      ]);
      const token = { owner: { newcomerId }, kind: "VERIFY_EMAIL", tokenHash: systemRandom.bytes(32) } as const;
      await started.database.transaction((tx) => store.addToken(tx, token, { nowMs: 1000, expireTimeMs: 5000 }));
      expect(await store.findToken(sql, "VERIFY_EMAIL", token.tokenHash, 4999)).toEqual({ newcomerId });
      expect(
        await started.database.transaction((tx) => store.recentTokens(tx, token, { sinceMs: 999, untilMs: 1e13 })),
      ).toEqual({
        count: 1,
        isKnown: true,
      });
      // A token goes with its newcomer.
      await started.database.transaction((tx) => postgresNewcomerStore.removeByEmail(tx, email));
      expect(await store.findToken(sql, "VERIFY_EMAIL", token.tokenHash, 4999)).toBeUndefined();
      await empty();
    });

    test("ends what a person has of one kind, mails and tokens, and removes tokens that ended long ago", async () => {
      await empty();
      const { userId, email } = await started.newAccount();
      const [gone, kept] = [systemRandom.bytes(32), systemRandom.bytes(32)];
      const times = { nowMs: 1000, expireTimeMs: 5000 };
      await add(email, 1, "RESET_PASSWORD");
      const other = await add(email, 1, "VERIFY_EMAIL");
      await started.database.transaction(async (tx) => {
        await store.addToken(tx, { owner: { userId }, kind: "RESET_PASSWORD", tokenHash: gone }, times);
        await store.addToken(tx, { owner: { userId }, kind: "VERIFY_EMAIL", tokenHash: kept }, times);
        await store.endTokens(tx, "RESET_PASSWORD", userId);
      });
      const { sql } = started.database;
      expect(await store.findToken(sql, "RESET_PASSWORD", gone, 1)).toBeUndefined();
      expect(await store.findToken(sql, "VERIFY_EMAIL", kept, 1)).toEqual({ userId });
      expect(await due(1e12)).toEqual([other!]);
      await started.database.transaction((tx) => store.removeOfPerson(tx, userId));
      expect(await due(1e12)).toEqual([]);
      await started.database.transaction((tx) => store.prune(tx, 5000, 100));
      expect(await store.findToken(sql, "VERIFY_EMAIL", kept, 1)).toEqual({ userId });
      await started.database.transaction((tx) => store.prune(tx, 5001, 100));
      expect(await store.findToken(sql, "VERIFY_EMAIL", kept, 1)).toBeUndefined();
    });
  });
}
