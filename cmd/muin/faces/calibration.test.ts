import { join } from "node:path";
import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import { createSyntheticFaces } from "../../../internal/shared/faces/synthetic-faces.ts";
import { caught, importMutant } from "../../../internal/platform/testing/mutant.ts";
import {
  calibrateByPairs,
  calibrateBySearches,
  countFrom,
  rateAmong,
  rateOf,
  rateOfOne,
  thresholdFor,
} from "./calibration.ts";
import { cosineOf } from "./embedding.ts";
import { createSearchableGallery } from "./gallery-search.ts";

const path = join(import.meta.dir, "calibration.ts");

type Calibration = typeof import("./calibration.ts");

describe("thresholds", () => {
  const scores = fc.array(
    fc.integer({ min: -20, max: 19 }).map((value) => value / 20),
    { minLength: 1, maxLength: 60 },
  );
  const share = fc.double({ min: 0.001, max: 1, noNaN: true });

  const isLeast = (calibration: Pick<Calibration, "thresholdFor" | "countFrom">): void => {
    fc.assert(
      fc.property(scores, share, (values, wanted) => {
        const ascending = Float64Array.from(values).toSorted();
        const threshold = calibration.thresholdFor(ascending, wanted);
        if (threshold === undefined) {
          expect(1 / values.length).toBeGreaterThan(wanted - 1e-9);
          return;
        }
        const reach = (bound: number): number => values.filter((value) => value >= bound).length;
        expect(calibration.countFrom(ascending, threshold)).toBe(reach(threshold));
        expect(reach(threshold) / values.length).toBeLessThanOrEqual(wanted + 1e-9);
        const below = values.filter((value) => value < threshold && value >= 0.01);
        if (below.length > 0) expect(reach(Math.max(...below)) / values.length).toBeGreaterThan(wanted - 1e-9);
      }),
      { seed: 3, numRuns: 500 },
    );
  };

  test("are the least that at most the wanted share reaches", () => {
    isLeast({ thresholdFor, countFrom });
  });

  test.each([
    ["one score too many", "ascending.length - reaching - 1]", "ascending.length - reaching - 2]"],
    ["ties that reach it", "above === undefined ? below + Number.EPSILON : (below + above) / 2", "below"],
  ])("mutant: %s", async (_, from, to) => {
    const mutant = await importMutant<Calibration>(path, from, to);
    await caught(() => isLeast(mutant));
  });
});

describe("rates", () => {
  test("among many faces and of one are each other's inverse", () => {
    fc.assert(
      fc.property(
        fc.double({ min: 1e-12, max: 0.9, noNaN: true }),
        fc.integer({ min: 1, max: 100_000 }),
        (rate, size) => {
          expect(Math.abs(rateAmong(rateOfOne(rate, size), size) / rate - 1)).toBeLessThan(1e-9);
        },
      ),
    );
    expect(rateAmong(0.01, 2)).toBeCloseTo(1 - 0.99 ** 2, 12);
  });

  // Values by R 4: binom::binom.wilson.
  test.each([
    [0, 10, 0, 0.2775],
    [1, 10, 0.0179, 0.4042],
    [5, 10, 0.2366, 0.7634],
    [10, 10, 0.7225, 1],
    [0, 0, 0, 1],
  ])("%d of %d lie between %d and %d", (events, trials, low, high) => {
    const rate = rateOf(events, trials);
    expect(rate.low).toBeCloseTo(low, 4);
    expect(rate.high).toBeCloseTo(high, 4);
  });
});

describe("a calibration", () => {
  const faces = createSyntheticFaces({ seed: 4, dimensions: 128 });
  const people = Array.from({ length: 600 }, (_, person) => [
    faces.photographOf(person, 0),
    faces.photographOf(person, 1),
  ]);
  const gallery = createSearchableGallery(people);
  const searches = people.map((_, person) => gallery.search(person));

  const strangersPass = (calibration: Pick<Calibration, "calibrateBySearches">): void => {
    const size = people.length;
    const found = calibration.calibrateBySearches(searches, gallery.faceCount - 2, {
      targetFpir: 0.02,
      size: 2 * size,
    });
    if (!("threshold" in found)) throw new Error("there are scores enough");
    expect(found.fpir.share).toBeLessThanOrEqual(0.02);
    expect(found.fpir.low).toBeLessThan(found.fpir.share);
    expect(found.fnir?.trials).toBe(size);
    // Strangers come whom nothing was chosen by: of 1000, about 20 find somebody.
    const passed = Array.from({ length: 1000 }, (_, stranger) =>
      gallery.best(faces.photographOf(10_000 + stranger, 0)),
    ).filter((score) => score >= found.threshold).length;
    expect(passed / 1000).toBeGreaterThan(0.003);
    expect(passed / 1000).toBeLessThan(0.06);
  };

  test("by searches lets as many strangers pass as it was told", () => {
    strangersPass({ calibrateBySearches });
  });

  test("mutant: takes the best own face for another person's", async () => {
    const mutant = await importMutant<Calibration>(
      path,
      "Float64Array.from(searches, ({ other }) => other)",
      "Float64Array.from(searches, ({ other, own = 0 }) => Math.max(other, own))",
    );
    await caught(() => strangersPass(mutant));
  });

  test("by pairs follows the formula", () => {
    const impostor = people.flatMap(([one], person) =>
      people.slice(person + 1).map(([other]) => cosineOf(one as Float32Array, other as Float32Array)),
    );
    const genuine = people.map(([one, other]) => cosineOf(one as Float32Array, other as Float32Array));
    const found = calibrateByPairs({ genuine, impostor }, { targetFpir: 0.05, size: 1000 });
    if (!("threshold" in found)) throw new Error("there are scores enough");
    expect(found.falsePositives.trials).toBe((600 * 599) / 2);
    expect(found.fpir.share).toBeCloseTo(1 - (1 - found.falsePositives.share) ** 1000, 9);
    expect(found.fpir.share).toBeLessThanOrEqual(0.05);
    expect(found.fnir?.events).toBe(genuine.filter((score) => score < found.threshold).length);
  });

  test("says which target so few scores can show", () => {
    const few = calibrateByPairs({ genuine: [], impostor: [0.1, 0.2, 0.3] }, { targetFpir: 0.001, size: 1000 });
    expect(few).toEqual({ targetMin: rateAmong(1 / 3, 1000) });
    const alone = calibrateBySearches([{ other: 0.2, own: undefined }], 10, { targetFpir: 0.5, size: 10 });
    expect(alone).toEqual({ targetMin: 1 });
  });
});
