import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { systemRandom } from "../../../platform/clock/random.ts";
import type { StartedStore, StartStore } from "../store-fixture.ts";
import type { PersonKeyStore } from "./store.ts";

/** What every store of people's keys does. */
export function describePersonKeyStore(name: string, start: StartStore<PersonKeyStore>): void {
  describe(`a store of people's keys: ${name}`, () => {
    let started: StartedStore<PersonKeyStore>;
    let store: PersonKeyStore;
    beforeAll(async () => {
      started = await start();
      ({ store } = started);
    });
    afterAll(() => started[Symbol.asyncDispose]());

    const add = async (): Promise<{ readonly personId: string; readonly keySealed: Uint8Array }> => {
      const key = { personId: systemRandom.uuid(), keySealed: systemRandom.bytes(60) };
      await started.database.transaction((tx) => store.insert(tx, key.personId, key.keySealed, 1000));
      return key;
    };

    test("tells a key that is there from one that was destroyed and one that never was", async () => {
      const [here, gone] = [await add(), await add()];
      await started.database.transaction((tx) => store.destroy(tx, gone.personId, 5000));
      const ids = [gone.personId, systemRandom.uuid(), here.personId];
      const found = new Map((await store.find(started.database.sql, ids)).map((key) => [key.personId, key]));
      expect(found.size).toBe(2);
      expect(found.get(gone.personId)).toEqual({
        personId: gone.personId,
        keySealed: undefined,
        destroyTimeMs: 5000,
      });
      expect(Buffer.compare(found.get(here.personId)!.keySealed!, here.keySealed)).toBe(0);
      expect(found.get(here.personId)!.destroyTimeMs).toBeUndefined();
    });

    test("makes no second key for anybody, and locks one against others", async () => {
      const { personId } = await add();
      const again = started.database.transaction((tx) => store.insert(tx, personId, systemRandom.bytes(60), 1));
      expect(
        await again.then(
          () => "made",
          () => "refused",
        ),
      ).toBe("refused");
      const { waited, result } = await started.waits(
        (tx) => store.lock(tx, personId).then(() => store.destroy(tx, personId, 7000)),
        (tx) => store.lock(tx, personId),
      );
      expect([waited, result?.destroyTimeMs]).toEqual([true, 7000]);
    });
  });
}
