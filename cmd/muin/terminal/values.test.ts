import { describe, expect, test } from "bun:test";
import { durationMs, wholeNumber } from "./values.ts";

describe("arguments", () => {
  test("lengths of time", () => {
    expect(["500ms", "90s", "15m", "12h", "30d"].map(durationMs)).toEqual([
      500, 90_000, 900_000, 43_200_000, 2_592_000_000,
    ]);
    for (const text of ["", "5", "s", "-1s", "1.5h", "1w"]) expect(() => durationMs(text)).toThrow("length of time");
  });

  test("whole numbers", () => {
    const read = wholeNumber(-3, 10);
    expect([read("-3"), read("+7"), read("10")]).toEqual([-3, 7, 10]);
    for (const text of ["", "11", "-4", "1.5", "1e1", "x"]) expect(() => read(text)).toThrow("from -3 to 10");
  });
});
