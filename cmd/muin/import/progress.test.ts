import { describe, expect, test } from "bun:test";
import { grouped, progressText } from "./progress.ts";

describe("progress", () => {
  const result = { lines: 1500, badCount: 2, offset: 50, offsetStart: 0 };
  test.each<[source: Parameters<typeof progressText>[1], bar: boolean, text: string]>([
    [
      { bytesTotal: 100, bytesRead: () => 0, compressed: false },
      true,
      "[########--------]  50 %  1 500 lines  750/s  2 bad  0:02 left",
    ],
    [{ bytesTotal: 100, bytesRead: () => 25, compressed: true }, false, "25 %  1 500 lines  750/s  2 bad  0:06 left"],
    [{ bytesTotal: undefined, bytesRead: () => 25, compressed: false }, true, "1 500 lines  750/s  2 bad"],
  ])("%#", (source, bar, text) => {
    expect(progressText(result, source, 2, bar)).toBe(text);
  });

  test("numbers have their thousands apart", () => {
    expect([0, 999, 1000, 1234567].map(grouped)).toEqual(["0", "999", "1 000", "1 234 567"]);
  });
});
