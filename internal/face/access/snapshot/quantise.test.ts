import { expect, test } from "bun:test";
import { join } from "node:path";
import { caught, importMutant } from "../../../platform/testing/mutant.ts";
import { anyVector, cosineOf, near, seededFractions, templateOf } from "../../shared/face-fixture.ts";
import * as whole from "./quantise.ts";

const seed = Number(process.env["SEED"] ?? 20261130);

/** The score that a scan gives a row, times the query's scale: by float32 as there. */
function scoreOf(query: whole.QuantisedQuery, row: Int8Array, scale: number): number {
  let sum = 0;
  for (const [place, value] of row.entries()) sum += value * (query.values[place] as number);
  expect(Math.abs(sum)).toBeLessThan(2 ** 31);
  return Math.fround(Math.fround(sum) * scale) * query.scale;
}

function holdBound(quantise: typeof whole): void {
  const fraction = seededFractions(seed);
  for (const dimensions of [64, 100, 512, 2048]) {
    for (let round = 0; round < 60; round += 1) {
      const spiky = templateOf(anyVector(fraction, dimensions).map((value) => value ** 5));
      const one = round % 3 === 0 ? spiky : templateOf(anyVector(fraction, dimensions));
      const other = round % 2 === 0 ? near(one, fraction(), fraction) : templateOf(anyVector(fraction, dimensions));
      const row = new Int8Array(quantise.strideOf(dimensions));
      const { scale, error, length } = quantise.quantiseRow(one, row);
      const query = quantise.quantiseQuery(other);
      const away = Math.abs(cosineOf(one, other) - scoreOf(query, row, scale));
      expect(away).toBeLessThanOrEqual(quantise.errorBound(query, { errorMax: error, lengthMax: length }));
    }
  }
}

test(`no cosine is farther from its score than the bound says (seed ${seed})`, () => holdBound(whole));

test("the bound of 512 numbers is small beside the distances of people", () => {
  const fraction = seededFractions(seed);
  const row = new Int8Array(512);
  const { error, length } = whole.quantiseRow(templateOf(anyVector(fraction, 512)), row);
  const query = whole.quantiseQuery(templateOf(anyVector(fraction, 512)));
  expect(whole.errorBound(query, { errorMax: error, lengthMax: length })).toBeLessThan(0.012);
});

test("no sum leaves 32 bits, whatever the vectors are", () => {
  for (const dimensions of [64, 512, 2048]) {
    const flat = templateOf(new Float64Array(dimensions).fill(1));
    const row = new Int8Array(whole.strideOf(dimensions));
    const { scale } = whole.quantiseRow(flat, row);
    expect(scoreOf(whole.quantiseQuery(flat), row, scale)).toBeCloseTo(1, 3);
  }
});

test.each([
  ["the error of rows is not counted", "query.length * errorMax +", ""],
  [
    "of an error, only the largest part is counted",
    "errors += left * left;\n    squares += value * value;\n  }\n  into",
    "errors = Math.max(errors, left * left);\n    squares += value * value;\n  }\n  into",
  ],
])("mutant: %s", async (_, from, to) => {
  const broken = await importMutant<typeof whole>(join(import.meta.dir, "quantise.ts"), from, to);
  await caught(() => holdBound(broken));
});
