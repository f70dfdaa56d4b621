import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import { createCountIds, displayNameOf, fieldSeparator, isPrefix, keptValue } from "./count-id.ts";

const validId = /^[a-z0-9][a-z0-9._-]{0,127}$/;
const anyText = fc.oneof(
  fc.string({ unit: "binary", maxLength: 300 }),
  fc.constantFrom("TX", "tx", "Tx", "t x", "t-x", "", "-", "/", "주문", "é", "\u0000", "\ud800"),
);

describe("count ids", () => {
  test("are valid and differ, whatever the values; a value keeps its id", () => {
    fc.assert(
      fc.property(
        fc.array(anyText, { maxLength: 40 }),
        fc.constantFrom("", "status.", "a".repeat(64)),
        (values, prefix) => {
          const ids = createCountIds(prefix);
          const given = new Map<string, string>();
          for (const value of values.map(keptValue)) {
            const { countId, isNew } = ids.idOf(value);
            expect(isNew).toBe(!given.has(value));
            expect(given.get(value) ?? countId).toBe(countId);
            expect(countId).toMatch(validId);
            expect(countId).toStartWith(prefix);
            given.set(value, countId);
          }
          expect(new Set(given.values()).size).toBe(given.size);
          expect(ids.size).toBe(given.size);
        },
      ),
    );
  });

  test("a later run that restores what an earlier one assigned gives the same ids", () => {
    fc.assert(
      fc.property(fc.array(anyText, { maxLength: 40 }), fc.nat(40), (texts, at) => {
        const values = texts.map(keptValue);
        const whole = createCountIds("p.");
        const expected = values.map((value) => whole.idOf(value).countId);
        const first = createCountIds("p.");
        const second = createCountIds("p.");
        const begun = values.slice(0, at).map((value) => [value, first.idOf(value).countId] as const);
        for (const [value, countId] of new Map(begun)) second.restore(value, countId);
        expect([...begun.map(([, id]) => id), ...values.slice(at).map((value) => second.idOf(value).countId)]).toEqual(
          expected,
        );
      }),
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
    expect(createCountIds("").idOf(value).countId).toBe(id);
  });

  test("the first of two values that meet owns the id, the other gets a short hash", () => {
    const ids = createCountIds("");
    expect(ids.idOf("TX").countId).toBe("tx");
    expect(ids.idOf("tx").countId).toMatch(/^tx-[0-9a-f]{6}$/);
    expect(ids.idOf("주문").countId).toMatch(/^[0-9a-f]{6}$/);
    expect(ids.idOf("x".repeat(500)).countId).toMatch(/^x{121}-[0-9a-f]{6}$/);
  });

  test("values and names fit what the server takes", () => {
    fc.assert(
      fc.property(
        fc.string({ unit: "binary", maxLength: 3000 }),
        fc.string({ unit: "binary", maxLength: 2000 }),
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
