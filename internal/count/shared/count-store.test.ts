import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { systemRandom } from "../../platform/clock/random.ts";
import { openRedis } from "../../platform/redis/open-redis.ts";
import { caught, importMutant } from "../../platform/testing/mutant.ts";
import { startRedis } from "../../platform/testing/redis.ts";
import { createCountStates } from "./count-states.ts";
import { recordLayout } from "./count-store.ts";

async function checkLayout(record: typeof recordLayout): Promise<void> {
  await using redis = await startRedis();
  const store = openRedis({ url: redis.url, name: "test" });
  await store.start();
  await using stack = new AsyncDisposableStack();
  stack.defer(() => store.stop());
  const states = createCountStates(store, { outboxBytesMax: 1e9 });
  expect(states.read(["a"])).rejects.toMatchObject({ code: "unavailable", reason: "STORE_UNAVAILABLE" });
  const layout = await record(store, { shards: 4, random: systemRandom });
  expect(layout).toMatchObject({ shards: 4 });
  expect(await record(store, { shards: 4, random: systemRandom })).toEqual(layout);
  for (const [shards, why] of [
    [8, "has 4 shards"],
    [3, "power of two"],
    [128, "power of two"],
    [-2, "power of two"],
  ] as const) {
    const refusal = await record(store, { shards, random: systemRandom }).then(() => "recorded", String);
    expect(refusal).toContain(why);
  }
  expect(await record(store, { shards: 0, random: systemRandom }).then(({ shards }) => shards, String)).toBe(4);
  expect(await states.read(["a"])).toEqual([{ countId: "a", record: undefined, heartbeatMs: undefined }]);
}

describe("the layout of a store", () => {
  test("is of one shard unless told otherwise", async () => {
    await using redis = await startRedis();
    await using stack = new AsyncDisposableStack();
    const store = openRedis({ url: redis.url, name: "test" });
    await store.start();
    stack.defer(() => store.stop());
    expect(await recordLayout(store, { shards: 0, random: systemRandom })).toMatchObject({ shards: 1 });
  });

  test("is needed by whoever reads, and never changes", () => checkLayout(recordLayout));

  test.each([
    ["if (shards !== 0 && layout.shards !== shards) {", "if (false) {"],
    ["if (shards !== 0 && layout.shards", "if (layout.shards"],
    ["!Number.isInteger(Math.log2(shards)) || ", ""],
    [" || shards > shardsMax", ""],
    ['client.hsetnx(storeKey, "shards"', 'client.hset(storeKey, "shards"'],
    ['client.hsetnx(storeKey, "id"', 'client.hset(storeKey, "id"'],
  ])("is noticed to be unguarded without %s", async (rule, instead) => {
    const path = join(import.meta.dir, "count-store.ts");
    const mutant = await importMutant<{ recordLayout: typeof recordLayout }>(path, rule, instead);
    await caught(() => checkLayout(mutant.recordLayout));
  });
});
