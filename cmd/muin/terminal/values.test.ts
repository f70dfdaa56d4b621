import { describe, expect, test } from "bun:test";
import { atOption } from "../commands/branches/moment.ts";
import { durationMs, momentMs, wholeNumber } from "./values.ts";

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

  test("moments that exist", () => {
    expect(momentMs("2028-02-29")).toBe(1_835_395_200_000);
    expect(momentMs("2026-12-01T09:00+09:00")).toBe(1_796_083_200_000);
    expect(atOption.parse("2026-12-25T03:00+09:00").toISOString()).toBe("2026-12-24T18:00:00.000Z");
    for (const text of [
      "2026-02-30",
      "2027-02-29T00:00:00Z",
      "2027-01-01T24:00:00Z",
      "2026-04-31T10:00+09:00",
      "now",
    ]) {
      expect(() => momentMs(text)).toThrow("Give a date");
      expect(() => atOption.parse(text)).toThrow("Write a moment");
    }
  });
});
