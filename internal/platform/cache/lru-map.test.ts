import { expect, test } from "bun:test";
import { createLruMap } from "./lru-map.ts";

test("an LRU map keeps what was used last", () => {
  const map = createLruMap<number>(3);
  for (const [index, key] of ["a", "b", "c"].entries()) map.set(key, index);
  expect(map.get("a")).toBe(0);
  map.set("d", 3);
  map.set("c", 4);
  map.delete("nothing");
  expect(["a", "b", "c", "d"].map((key) => map.get(key))).toEqual([0, undefined, 4, 3]);
});
