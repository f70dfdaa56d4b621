import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { randomHash, type StartedStore, type StartStore } from "../store-fixture.ts";
import type { QuotaStore, QuotaUses } from "./store.ts";

/** What every store of counts of what was asked for does. */
export function describeQuotaStore(name: string, start: StartStore<QuotaStore>): void {
  describe(`a store of counts of what was asked for: ${name}`, () => {
    let started: StartedStore<QuotaStore>;
    let store: QuotaStore;
    beforeAll(async () => {
      started = await start();
      ({ store } = started);
    });
    afterAll(() => started[Symbol.asyncDispose]());
    const none = { uses: 0, windowEndMs: 0 };
    const add = (subject: Uint8Array, nowMs: number): Promise<QuotaUses> =>
      started.database.transaction((tx) => store.add(tx, subject, { nowMs, windowMs: 1000 }));
    const read = (subject: Uint8Array, nowMs: number): Promise<QuotaUses> =>
      store.read(started.database.sql, subject, { nowMs, windowMs: 1000 });

    test("counts uses within the window that the first began, and then anew", async () => {
      const subject = randomHash();
      expect(await read(subject, 5000)).toEqual(none);
      expect(await add(subject, 5000)).toEqual({ uses: 1, windowEndMs: 6000 });
      expect(await add(subject, 5999)).toEqual({ uses: 2, windowEndMs: 6000 });
      expect(await read(subject, 5999)).toEqual({ uses: 2, windowEndMs: 6000 });
      expect(await read(subject, 6000)).toEqual(none);
      expect(await add(subject, 6000)).toEqual({ uses: 1, windowEndMs: 7000 });
      expect(await read(randomHash(), 6000)).toEqual(none);
    });

    test("lets nobody wait for a window that a clock began which ran ahead and was put back", async () => {
      const subject = randomHash();
      await add(subject, 9_000_000);
      // Another process's clock is a little behind: the use counts.
      expect(await read(subject, 8_999_000)).toEqual({ uses: 1, windowEndMs: 9_001_000 });
      expect(await read(subject, 5000)).toEqual(none);
      expect(await add(subject, 5000)).toEqual({ uses: 1, windowEndMs: 6000 });
    });

    test("lets no two that come at once see the same", async () => {
      const subject = randomHash();
      const { waited, result } = await started.waits(
        (tx) => store.add(tx, subject, { nowMs: 5000, windowMs: 1000 }),
        (tx) => store.add(tx, subject, { nowMs: 5000, windowMs: 1000 }),
      );
      expect({ waited, result }).toEqual({ waited: true, result: { uses: 2, windowEndMs: 6000 } });
    });

    test("removes what does not count any more", async () => {
      const [over, counting] = [randomHash(), randomHash()];
      await add(over, 4000);
      await add(counting, 4500);
      await started.database.transaction((tx) => store.prune(tx, 5000, 1000));
      expect([await read(over, 4999), await read(counting, 5000)]).toEqual([none, { uses: 1, windowEndMs: 5500 }]);
    });
  });
}
