import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { caught, importMutant } from "../../platform/testing/mutant.ts";
import { shardOf } from "./key-schema.ts";

/** Where Counts stand for ever: another answer would lose them. */
function checkShards(shard: typeof shardOf): void {
  const ids = ["a", "b", "orders", "branch-1.entries", "x".repeat(128), "200"];
  expect(ids.map((id) => shard(id, 64))).toEqual([32, 41, 50, 50, 27, 58]);
  expect(ids.map((id) => shard(id, 4))).toEqual(ids.map((id) => shard(id, 64) % 4));
  const used = new Set(Array.from({ length: 1000 }, (_, place) => shard(`count.${place}`, 64)));
  expect(used.size).toBe(64);
}

describe("the shard of a Count", () => {
  test("is the same for ever", async () => {
    checkShards(shardOf);
    const path = join(import.meta.dir, "key-schema.ts");
    const mutant = await importMutant<{ shardOf: typeof shardOf }>(path, "0x01000193", "0x01000195");
    await caught(() => checkShards(mutant.shardOf));
  });
});
