import { expect, test } from "bun:test";
import { backoffMs } from "./backoff.ts";
import { systemRandom, type Random } from "./random.ts";

const bounds = { minMs: 100, maxMs: 5000 };
const longest: Random = { ...systemRandom, fraction: () => 1 - Number.EPSILON };
const shortest: Random = { ...systemRandom, fraction: () => 0 };

test("doubles with each failure up to the longest pause, less up to a half by chance", () => {
  const failures = [1, 2, 3, 6, 7, 2000];
  expect(failures.map((each) => Math.round(backoffMs(bounds, each, longest)))).toEqual([
    100, 200, 400, 3200, 5000, 5000,
  ]);
  expect(failures.map((each) => backoffMs(bounds, each, shortest))).toEqual([50, 100, 200, 1600, 2500, 2500]);
});
