import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import { countIdsOf, displayNameOf, fieldSeparator, isPrefix, keptValue } from "./count-id.ts";

const validId = /^[a-z0-9][a-z0-9._-]{0,127}$/;
const anyText = fc.oneof(
  fc.string({ unit: "binary", maxLength: 300 }).map((text) => text.toWellFormed()),
  fc.constantFrom("TX", "tx", "Tx", "t x", "t-x", "", "-", "/", "주문", "é", "\u0000"),
);

/** The first ids of a value. */
function idsOf(value: string, prefix = ""): readonly string[] {
  return countIdsOf(prefix, value).take(3).toArray();
}

describe("count ids", () => {
  test("are valid and made of the value alone", () => {
    fc.assert(
      fc.property(anyText, fc.constantFrom("", "status.", "a".repeat(64)), (text, prefix) => {
        const value = keptValue(text);
        const ids = idsOf(value, prefix);
        for (const id of ids) {
          expect(id).toMatch(validId);
          expect(id).toStartWith(prefix);
        }
        expect(new Set(ids).size).toBe(3);
        expect(idsOf(value, prefix)).toEqual(ids);
      }),
    );
  });

  test("of values that differ are told apart by the id, or else by the name", () => {
    const field = fc.string({
      unit: fc.constantFrom("a", "b", "A", " ", ".", "-", "/", "\u0001", "(empty)", "\uFFFD"),
      maxLength: 5,
    });
    const fields = fc.array(field, { minLength: 1, maxLength: 3 });
    fc.assert(
      fc.property(fields, fields, (one, other) => {
        const [a, b] = [one.join(fieldSeparator), other.join(fieldSeparator)];
        fc.pre(a !== b);
        const others = idsOf(b);
        const common = idsOf(a).filter((id) => others.includes(id));
        if (common.length > 0) expect(displayNameOf(a)).not.toBe(displayNameOf(b));
      }),
      { numRuns: 1000 },
    );
  });

  test.each<[value: string, id: string]>([
    ["TX", "tx"],
    ["200", "200"],
    ["Mozilla/5.0 (X11; Linux)", "mozilla-5.0-x11-linux"],
    ["café", "cafe"],
    ["", "empty"],
    [["GET", "200"].join(fieldSeparator), "get.200"],
    [["GET", ""].join(fieldSeparator), "get.empty"],
  ])("%p becomes %p", (value, id) => {
    expect(countIdsOf("", value).next().value).toBe(id);
  });

  test("go on with a short hash, and are long where the name does not tell the value", () => {
    expect(idsOf("TX")).toEqual([
      "tx",
      expect.stringMatching(/^tx-[0-9a-f]{6}$/),
      expect.stringMatching(/^tx-[0-9a-f]{32}$/),
    ]);
    expect(idsOf("주문")[0]).toMatch(/^[0-9a-f]{6}$/);
    expect(idsOf("x".repeat(200))[0]).toMatch(/^x{121}-[0-9a-f]{6}$/);
    for (const value of ["x".repeat(500), "a\u0001b", "(empty)", ["a .", "c"].join(fieldSeparator)]) {
      expect(idsOf(value)[0]).toMatch(/-[0-9a-f]{32}$/);
    }
    expect(idsOf(["New York", "T shirt"].join(fieldSeparator))[0]).toBe("new-york.t-shirt");
  });

  test("values and names fit what the server takes", () => {
    fc.assert(
      fc.property(
        fc.string({ unit: "grapheme", maxLength: 3000 }),
        fc.string({ unit: "grapheme", maxLength: 2000 }),
        (a, b) => {
          const kept = keptValue(a + b);
          expect(kept.length).toBeLessThanOrEqual(1024);
          expect(kept.isWellFormed()).toBe(true);
          const name = displayNameOf(kept);
          expect(name.length).toBeLessThanOrEqual(256);
          expect(name.isWellFormed()).toBe(true);
          expect(name).not.toMatch(/\p{Cc}/u);
        },
      ),
    );
    expect(keptValue(`${"x".repeat(2000)}a`)).not.toBe(keptValue(`${"x".repeat(2000)}b`));
    expect(displayNameOf(["GET", ""].join(fieldSeparator))).toBe("GET (empty)");
  });

  test.each([
    ["", true],
    ["status.", true],
    ["Status.", false],
    [".a", false],
    ["a b", false],
    ["a".repeat(65), false],
  ])("prefix %p: %p", (prefix, ok) => {
    expect(isPrefix(prefix)).toBe(ok);
  });
});
