import { expect, test } from "bun:test";
import { createRevocations } from "./revocations.ts";

test("revocations are remembered for 16 minutes, repeats from the last one", () => {
  let nowMs = 0;
  const revoked = createRevocations({ monotonic: () => nowMs }, 100);
  revoked.add("a");
  nowMs = 1000;
  revoked.add("b");
  revoked.add("a");
  nowMs = 960_000;
  revoked.add("c");
  expect(["a", "b", "c", "d"].map((id) => revoked.has(id))).toEqual([true, true, true, false]);
  nowMs = 961_000;
  revoked.add("d");
  expect(["a", "b", "c", "d"].map((id) => revoked.has(id))).toEqual([false, false, true, true]);
});

test("a full memory refuses everybody rather than forget", () => {
  let nowMs = 0;
  const revoked = createRevocations({ monotonic: () => nowMs }, 2);
  revoked.add("a");
  expect(revoked.has("other")).toBe(false);
  revoked.add("b");
  revoked.add("c");
  expect([revoked.has("c"), revoked.has("other")]).toEqual([true, true]);
  nowMs = 960_000;
  expect([revoked.has("c"), revoked.has("other")]).toEqual([false, false]);
});
