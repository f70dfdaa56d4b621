import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { Transaction } from "../../../platform/postgres/database.ts";
import { aModel, type StartedStores } from "../stores-fixture.ts";
import type { ModelStore } from "./store.ts";

const named = (modelId: string) => ({ ...aModel, modelId });

/** What every store of face models does. */
export function describeModelStore(name: string, start: () => Promise<StartedStores>): void {
  describe(`a store of face models: ${name}`, () => {
    let started: StartedStores;
    let models: ModelStore;
    beforeAll(async () => {
      started = await start();
      ({ models } = started);
    });
    afterAll(() => started[Symbol.asyncDispose]());

    const within = <T>(work: (tx: Transaction) => Promise<T>): Promise<T> => started.database.transaction(work);

    test("keeps models as they were added, each once", async () => {
      const { sql } = started.database;
      expect(await within((tx) => models.add(tx, named("b")))).toBe(true);
      expect(await within((tx) => models.add(tx, { ...named("b"), threshold: 0.9 }))).toBe(false);
      await within((tx) => models.add(tx, { ...named("a"), mean: new Uint8Array() }));
      expect(await models.find(sql, "b")).toEqual(named("b"));
      expect(await models.find(sql, "none")).toBeUndefined();
      expect((await models.list(sql, "", 9)).map(({ modelId }) => modelId)).toEqual(["a", "b"]);
      expect(await models.list(sql, "a", 1)).toEqual([named("b")]);
    });

    test("knows which revision of a model was told", async () => {
      const { sql } = started.database;
      await within((tx) => models.add(tx, named("c")));
      expect(await models.untold(sql, 99)).toContain("c");
      await models.told(sql, "c", 1);
      expect(await models.untold(sql, 99)).not.toContain("c");
      await within(async (tx) => {
        const model = await models.lock(tx, "c");
        if (model !== undefined) await models.calibrate(tx, { ...model, threshold: 0.8, revision: 2 });
      });
      expect(await models.find(sql, "c")).toEqual({ ...named("c"), threshold: 0.8, revision: 2 });
      await models.told(sql, "c", 1);
      expect(await models.untold(sql, 99)).toContain("c");
      await models.told(sql, "c", 2);
      expect(await models.untold(sql, 99)).not.toContain("c");
    });
  });
}
