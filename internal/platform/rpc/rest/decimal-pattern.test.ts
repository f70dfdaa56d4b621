import { expect, test } from "bun:test";
import { decimalPattern } from "./decimal-pattern.ts";

test.each([
  [0n, 1000n, ["0", "9", "10", "999", "1000", "007"], ["1001", "-1", "", "1.0", "a", "2000", "9999"]],
  [1n, 2879n, ["1", "2879", "2799", "999"], ["0", "2880", "3000", "-1", "00"]],
  [0n, 1439n, ["0", "1439", "1399"], ["1440", "1500"]],
  [-9n, 15n, ["-9", "0", "15", "-1"], ["-10", "16", "-15"]],
  [-20n, -7n, ["-7", "-20", "-19"], ["-6", "-21", "7", "0"]],
  [
    -9007199254740991n,
    9007199254740991n,
    ["9007199254740991", "-9007199254740991", "0", "-0", "9007199254740899", "8999999999999999", "1000000000000000"],
    ["9007199254740992", "-9007199254740992", "9007199254741000", "10000000000000000", "9999999999999999"],
  ],
] as const)("the texts of whole numbers from %s to %s", (min, max, good, bad) => {
  const pattern = new RegExp(decimalPattern(min, max), "u");
  expect(good.filter((text) => !pattern.test(text))).toEqual([]);
  expect(bad.filter((text) => pattern.test(text))).toEqual([]);
});

test("every text of a small range, and none beside it", () => {
  for (const [min, max] of [
    [0, 0],
    [3, 3],
    [0, 9],
    [5, 105],
    [95, 1234],
    [-130, 77],
    [-99, -10],
  ] as const) {
    const pattern = new RegExp(decimalPattern(BigInt(min), BigInt(max)), "u");
    for (let each = -1500; each <= 1500; each += 1) {
      expect([each, pattern.test(String(each))]).toEqual([each, each >= min && each <= max]);
    }
  }
});
