import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { systemRandom } from "../../../platform/clock/random.ts";
import type { StartedStore, StartStore } from "../store-fixture.ts";
import type { BootstrapStore } from "./store.ts";

/** What every store of bootstrap secrets does. */
export function describeBootstrapStore(name: string, start: StartStore<BootstrapStore>): void {
  describe(`bootstrap secrets: ${name}`, () => {
    let started: StartedStore<BootstrapStore>;
    let store: BootstrapStore;
    beforeAll(async () => {
      started = await start();
      ({ store } = started);
    });
    afterAll(() => started[Symbol.asyncDispose]());

    test("has one for a service: a new one takes the place of the one before", async () => {
      const [first, second] = [systemRandom.bytes(32), systemRandom.bytes(32)];
      await started.database.transaction(async (tx) => {
        await store.put(tx, "user", first, 1000);
        await store.markRenewed(tx, "user", 1500);
        expect(await store.lockByHash(tx, first)).toMatchObject({
          serviceName: "user",
          renewTimeMs: 1500,
          version: 1n,
        });
        await store.put(tx, "user", second, 2000);
        expect(await store.lockByHash(tx, first)).toBeUndefined();
        expect(await store.lockByHash(tx, second)).toEqual({
          serviceName: "user",
          secretHash: second,
          version: 2n,
          issueTimeMs: 2000,
          renewTimeMs: undefined,
          withdrawTimeMs: undefined,
        });
      });
    });

    test("keeps when a service was last withdrawn, beyond its next secret, and lists all by name", async () => {
      const hash = systemRandom.bytes(32);
      await started.database.transaction(async (tx) => {
        await store.put(tx, "access", hash, 1000);
        expect(await store.withdraw(tx, "access", 3000)).toBe(2n);
        expect(await store.lockByHash(tx, hash)).toBeUndefined();
        expect(await store.lock(tx, "access")).toMatchObject({ secretHash: undefined, withdrawTimeMs: 3000 });
        await store.put(tx, "access", systemRandom.bytes(32), 4000);
        expect(await store.lock(tx, "access")).toMatchObject({ version: 3n, issueTimeMs: 4000, withdrawTimeMs: 3000 });
        expect(await store.lock(tx, "nobody")).toBeUndefined();
      });
      await started.database.transaction((tx) => store.markRenewed(tx, "count-read", 5000));
      await started.database.transaction((tx) => store.markRenewed(tx, "count-read", 4000));
      const withoutSecret = await started.database.transaction((tx) => store.lock(tx, "count-read"));
      expect(withoutSecret).toMatchObject({ secretHash: undefined, renewTimeMs: 5000, withdrawTimeMs: undefined });
      const names = (await store.list(started.database.sql)).map(({ serviceName }) => serviceName);
      expect(names).toEqual(names.toSorted());
      expect(names).toContain("access");
      expect(names).not.toContain("count-read"); // It has no secret.
    });
  });
}
