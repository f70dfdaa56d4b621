import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { systemRandom } from "../../../platform/clock/random.ts";
import type { StartedStore, StartStore } from "../store-fixture.ts";
import type { SigningKeyStore } from "./store.ts";

/** A key that signs from `signTimeMs` on. */
function keyOf(kid: string, signTimeMs: number) {
  return { kid, signTimeMs, publicKey: systemRandom.bytes(32), seedSealed: systemRandom.bytes(60) };
}

/** What every store of signing keys does. */
export function describeSigningKeyStore(name: string, start: StartStore<SigningKeyStore>): void {
  describe(`a store of signing keys: ${name}`, () => {
    let started: StartedStore<SigningKeyStore>;
    let store: SigningKeyStore;
    beforeAll(async () => {
      started = await start();
      ({ store } = started);
    });
    afterAll(() => started[Symbol.asyncDispose]());

    test("lists keys in the order in which they sign, and keeps each for its longest-lived token", async () => {
      const { database } = started;
      const [later, sooner] = [keyOf("a", 2000), keyOf("b", 1000)];
      await database.transaction(async (tx) => {
        await store.insert(tx, later, 1);
        await store.insert(tx, sooner, 1);
      });
      const kept = [
        await store.keepUntil(database.sql, "a", 5000),
        await store.keepUntil(database.sql, "a", 4000),
        await store.keepUntil(database.sql, "c", 4000),
      ];
      expect(kept).toEqual([true, true, false]);
      const found = await store.list(database.sql);
      expect(found.map(({ kid, tokenExpireTimeMs }) => [kid, tokenExpireTimeMs])).toEqual([
        ["b", 0],
        ["a", 5000],
      ]);
      expect(Buffer.compare(found[0]!.publicKey, sooner.publicKey)).toBe(0);
      expect(Buffer.compare(found[0]!.seedSealed, sooner.seedSealed)).toBe(0);
      await database.transaction((tx) => store.remove(tx, "b"));
      expect((await store.list(database.sql)).map(({ kid }) => kid)).toEqual(["a"]);
    });
  });
}
