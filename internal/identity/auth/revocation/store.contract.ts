import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { systemRandom } from "../../../platform/clock/random.ts";
import type { Transaction } from "../../../platform/postgres/database.ts";
import { postgresBootstrapStore } from "../bootstrap/store-postgres.ts";
import { postgresEntryPassStore } from "../entry-pass/store-postgres.ts";
import { postgresDeviceStore } from "../device/store-postgres.ts";
import { postgresSessionStore } from "../session/store-postgres.ts";
import { randomHash, type StartedStore, type StartStore } from "../store-fixture.ts";
import type { RevocationStore } from "./store.ts";

const times = { createTimeMs: 1000, expireTimeMs: 9000 };

/** What makes each kind, without an end. */
const makers = {
  sessions: async (tx: Transaction, started: StartedStore<RevocationStore>, useTimeMs = 1000): Promise<string> => {
    const sessionId = systemRandom.uuid();
    const { userId } = await started.newAccount();
    const session = { sessionId, userId, userAgent: "", address: "", refreshHash: randomHash(), ...times, useTimeMs };
    await postgresSessionStore.insert(tx, session);
    return sessionId;
  },
  devices: async (tx: Transaction): Promise<string> => {
    const deviceId = systemRandom.uuid();
    await postgresDeviceStore.insert(tx, {
      deviceId,
      displayName: "door",
      branchIds: ["b"],
      activationHash: randomHash(),
      activationExpireTimeMs: 9000,
      createTimeMs: 1000,
    });
    return deviceId;
  },
  services: async (tx: Transaction): Promise<string> => {
    const name = `s-${systemRandom.uuid().slice(-12)}`;
    await postgresBootstrapStore.put(tx, name, randomHash(), 1000);
    return name;
  },
  passes: async (tx: Transaction, started: StartedStore<RevocationStore>, expireTimeMs = 9000): Promise<string> => {
    const passId = systemRandom.uuid();
    const { userId } = await started.newAccount();
    await postgresEntryPassStore.insert(tx, { passId, userId, branchId: "b", issueTimeMs: 1000, expireTimeMs });
    return passId;
  },
};

const enders = {
  sessions: async (tx: Transaction, id: string, nowMs: number) => void (await postgresSessionStore.end(tx, id, nowMs)),
  devices: async (tx: Transaction, id: string, nowMs: number) => void (await postgresDeviceStore.revoke(tx, id, nowMs)),
  services: async (tx: Transaction, id: string, nowMs: number) =>
    void (await postgresBootstrapStore.withdraw(tx, id, nowMs)),
};

/** What every store of revocations does. */
export function describeRevocationStore(name: string, start: StartStore<RevocationStore>): void {
  describe(`a store of revocations: ${name}`, () => {
    let started: StartedStore<RevocationStore>;
    beforeAll(async () => {
      started = await start();
    });
    afterAll(() => started[Symbol.asyncDispose]());

    test.each(["sessions", "devices", "services"] as const)(
      "finds %s that ended since a time, in the order of their ids, in pages, and none that goes on",
      async (kind) => {
        const { database, store } = started;
        const ids = await database.transaction(async (tx) => {
          const made: string[] = [];
          for (const endMs of [undefined, 2999, 3000, 4000, 5000]) {
            const id = await makers[kind](tx, started);
            if (endMs !== undefined) await enders[kind](tx, id, endMs);
            made.push(id);
          }
          return made;
        });
        const all = ids
          .slice(2)
          .map((id, index) => ({ id, version: 2n, timeMs: 3000 + 1000 * index }))
          .toSorted((a, b) => (a.id < b.id ? -1 : 1));
        const read = (after: string, limit: number) => store[kind](database.sql, { sinceMs: 3000, after, limit });
        expect(await read("", 10)).toEqual(all);
        expect(await read("", 2)).toEqual(all.slice(0, 2));
        expect(await read(all[1]?.id ?? "", 2)).toEqual(all.slice(2));
      },
    );

    test("finds passes that were revoked by when they would have ended, in pages", async () => {
      const { database, store } = started;
      const ids = await database.transaction(async (tx) => {
        const made: string[] = [];
        for (const expireMs of [2999, 3000, 4000, 5000]) {
          const id = await makers.passes(tx, started, expireMs);
          await postgresEntryPassStore.revoke(tx, id, 2000);
          made.push(id);
        }
        await makers.passes(tx, started);
        return made;
      });
      const all = ids
        .slice(1)
        .map((id, index) => ({ id, version: 2n, timeMs: 2000, expireTimeMs: 3000 + 1000 * index }));
      const read = (after: string, limit: number) => store.passes(database.sql, { sinceMs: 3000, after, limit });
      expect(await read("", 10)).toEqual(all);
      expect(await read("", 2)).toEqual(all.slice(0, 2));
      expect(await read(all[1]?.id ?? "", 2)).toEqual(all.slice(2));
    });

    test("finds a session by its last use, where a clock that was put back since says that it was after the end", async () => {
      const { database, store } = started;
      const id = await database.transaction(async (tx) => {
        const made = await makers.sessions(tx, started, 8000);
        await enders.sessions(tx, made, 2000);
        return made;
      });
      expect(await store.sessions(database.sql, { sinceMs: 7000, after: "", limit: 10 })).toEqual([
        { id, version: 2n, timeMs: 8000 },
      ]);
    });
  });
}
