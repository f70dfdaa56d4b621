import { expect, test } from "bun:test";
import * as fc from "fast-check";
import { elementName, galleryKeys, namesOf, readElementName } from "./key-schema.ts";

const id = fc.string({
  minLength: 1,
  maxLength: 64,
  unit: fc.integer({ min: 0x21, max: 0x7e }).map((code) => String.fromCharCode(code)),
});

test("an element's name says whose face it is, whatever the ids", () => {
  fc.assert(
    fc.property(id, id, fc.nat(9), (memberId, enrolmentId, index) => {
      expect(readElementName(elementName({ memberId, enrolmentId, index }))).toEqual({ memberId, enrolmentId, index });
    }),
  );
  for (const name of ["", "a/b", "a/b/0/1"]) expect(() => readElementName(name)).toThrow("not the name of a face");
});

test("the names of a person are between their bounds, and no one else's are", () => {
  fc.assert(
    fc.property(id, id, (memberId, otherId) => {
      const [min, max] = namesOf(memberId).map((bound) => bound.slice(1)) as [string, string];
      const isWithin = (name: string): boolean => name >= min && name < max;
      expect(isWithin(elementName({ memberId, enrolmentId: otherId, index: 9 }))).toBe(true);
      expect(isWithin(elementName({ memberId: otherId, enrolmentId: memberId, index: 0 }))).toBe(otherId === memberId);
    }),
  );
});

test("no two galleries share a key, and all keys have one hash tag", () => {
  const one = galleryKeys({ branchId: "a/b", modelId: "c", generation: 1 });
  const other = galleryKeys({ branchId: "a", modelId: "b/c", generation: 1 });
  expect(new Set([...Object.values(one), ...Object.values(other)]).size).toBe(8);
  for (const key of Object.values(one)) expect(key).toStartWith("{face}:g:");
});
