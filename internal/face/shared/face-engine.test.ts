import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import * as fc from "fast-check";
import { caught, importMutant } from "../../platform/testing/mutant.ts";
import { isFinal, isMatch, rescore, type SearchResult } from "./face-engine.ts";
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

type IsFinal = typeof isFinal;

/** The best two of faces that are given by person and cosine. */
function bestTwo(faces: readonly (readonly [memberId: string, score: number])[]): SearchResult {
  const ranked = faces.toSorted(([, one], [, other]) => other - one);
  const [memberId, score] = ranked[0] ?? [];
  const second = ranked.find(([other]) => other !== memberId);
  return {
    best: memberId === undefined || score === undefined ? undefined : { memberId, enrolmentId: "e", score },
    second: second && { memberId: second[0], score: second[1] },
  };
}

/** What is called final is what it would be if all faces were read; all cosines are multiples of a twentieth, so that many are equal. */
function checkFinal(isFinalResult: IsFinal): void {
  const score = fc.integer({ min: -20, max: 20 }).map((twentieths) => twentieths / 20);
  const faces = fc.array(fc.tuple(fc.constantFrom("a", "b", "c"), score), { maxLength: 6 });
  fc.assert(
    fc.property(faces, faces, score, score, (read, unread, threshold, margin) => {
      const rule = { threshold: Math.max(0.05, threshold), margin: Math.abs(margin) };
      const restCosineMax = Math.max(-Infinity, ...unread.map(([, cosine]) => cosine));
      const [found, all] = [bestTwo(read), bestTwo([...unread, ...read])];
      if (isFinalResult(found, restCosineMax, undefined)) expect(found).toEqual(all);
      if (isFinalResult(found, restCosineMax, rule)) {
        expect(isMatch(found, rule)).toBe(isMatch(all, rule));
        if (isMatch(all, rule)) expect(found.best).toEqual(all.best);
      }
    }),
    { numRuns: 5000 },
  );
}

/** What decides is called final without more being read. */
function checkDecides(isFinalResult: IsFinal): void {
  const rule = { threshold: 0.5, margin: 0.25 };
  const found = (score: number, second: number): SearchResult =>
    bestTwo([
      ["a", score],
      ["b", second],
    ]);
  expect(isFinalResult(found(0.4, 0.3), 0.45, rule)).toBe(true); // Nobody.
  expect(isFinalResult(found(0.9, 0.3), 0.5, rule)).toBe(true); // Somebody.
  expect(isFinalResult(found(0.9, 0.8), 0.85, rule)).toBe(true); // Two.
  expect(isFinalResult(found(0.9, 0.3), 0.8, rule)).toBe(false);
  expect(isFinalResult(bestTwo([]), 0.5, rule)).toBe(false);
  expect(isFinalResult(bestTwo([]), -Infinity, undefined)).toBe(true);
}

describe("the end of a search", () => {
  test("changes neither the result nor the decision", () => checkFinal(isFinal));

  test("comes when it is decided", () => checkDecides(isFinal));

  test.each([
    [checkFinal, "best > restCosineMax && second > restCosineMax", "best > restCosineMax"],
    [checkFinal, "best > restCosineMax && second > restCosineMax", "best >= restCosineMax && second >= restCosineMax"],
    [checkFinal, "best < threshold && restCosineMax < threshold", "best < threshold"],
    [checkFinal, "if (best <= restCosineMax) return false;", ""],
    [checkFinal, "best - second < margin || best - restCosineMax >= margin", "true"],
    [checkFinal, "best - restCosineMax >= margin", "best - second >= margin"],
    [checkDecides, "best < threshold && restCosineMax < threshold", "false"],
    [checkDecides, "best - second < margin || ", ""],
    [checkDecides, " || best - restCosineMax >= margin", ""],
    [checkDecides, "if (restCosineMax === -Infinity) return true;", ""],
  ] as const)("is noticed to be broken: %p with %s as %s", async (check, rule, instead) => {
    const path = join(import.meta.dir, "face-engine.ts");
    const mutant = await importMutant<{ isFinal: IsFinal }>(path, rule, instead);
    await caught(() => check(mutant.isFinal));
  });
});
