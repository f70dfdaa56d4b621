import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import * as fc from "fast-check";
import { caught, importMutant } from "../../platform/testing/mutant.ts";
import { isMatch, rescore } from "./face-engine.ts";
import { anyVector, cosineOf, seededFractions, templateOf } from "./face-fixture.ts";
import { elementName, readElementName } from "./key-schema.ts";

type Rescore = typeof rescore;

/** Against cosines in float64 and a sort: with faces of several to a person, some of them equal, in any order. */
function checkRanking(rank: Rescore): void {
  fc.assert(
    fc.property(fc.integer(), fc.integer({ min: 0, max: 12 }), (seed, count) => {
      const fraction = seededFractions(seed);
      const templates = Array.from({ length: 4 }, () => templateOf(anyVector(fraction, 8)));
      const query = templateOf(anyVector(fraction, 8));
      const candidates = Array.from({ length: count }, (_, index) => ({
        name: elementName({
          memberId: `m${Math.floor(fraction() * 4)}`,
          enrolmentId: `e${Math.floor(fraction() * 2)}`,
          index,
        }),
        template: templates[Math.floor(fraction() * 4)] as Float32Array,
      }));
      const ranked = candidates
        .map(({ name, template }) => ({ ...readElementName(name), name, score: dot(query, template) }))
        .toSorted((one, other) => other.score - one.score || (one.name < other.name ? -1 : 1));
      const best = ranked[0];
      const second = ranked.find(({ memberId }) => memberId !== best?.memberId);
      const result = rank(query, candidates);
      expect([result.best?.memberId, result.best?.enrolmentId, result.best?.score]).toEqual([
        best?.memberId,
        best?.enrolmentId,
        best?.score,
      ]);
      expect([result.second?.memberId, result.second?.score]).toEqual([second?.memberId, second?.score]);
      expect(rank(query, candidates.toReversed())).toEqual(result);
      if (best !== undefined)
        expect(best.score).toBeCloseTo(
          cosineOf(
            query,
            templates.find((one) => dot(query, one) === best.score)!,
          ),
          6,
        );
    }),
  );
}

function dot(one: Float32Array, other: Float32Array): number {
  return one.reduce((sum, number, place) => sum + number * (other[place] as number), 0);
}

describe("the ranking of faces", () => {
  test("is by cosine, then by name, and by person", () => checkRanking(rescore));

  test.each([
    ["one.name < other.name", "one.name > other.name"],
    ["      second = best;\n", ""],
    ["known === undefined || ranksBefore(face, known)", "true"],
    ["people.get(face.element.memberId)", "people.get(candidate.name)"],
  ])("is noticed to be broken without %s", async (rule, instead) => {
    const path = join(import.meta.dir, "face-engine.ts");
    const mutant = await importMutant<{ rescore: Rescore }>(path, rule, instead);
    await caught(() => checkRanking(mutant.rescore));
  });
});

const best = { memberId: "a", enrolmentId: "e" };

test.each([
  [0.5, undefined, true],
  [0.4999, undefined, false],
  [0.5, 0.25, true],
  [0.5, 0.2501, false],
  [0.9, 0.7, false],
])("a face of cosine %p beside one of another person of %p is a match: %p", (score, second, expected) => {
  const result = {
    best: { ...best, score },
    second: second === undefined ? undefined : { memberId: "b", score: second },
  };
  expect(isMatch(result, { threshold: 0.5, margin: 0.25 })).toBe(expected);
});

test("nobody is no match", () => {
  expect(isMatch({ best: undefined, second: undefined }, { threshold: 0.1, margin: 0 })).toBe(false);
});
