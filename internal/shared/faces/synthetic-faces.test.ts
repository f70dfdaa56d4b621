import { join } from "node:path";
import { describe, expect, test } from "bun:test";
import { caught, importMutant } from "../../platform/testing/mutant.ts";
import { createSyntheticFaces, type SyntheticFaces } from "./synthetic-faces.ts";

const people = 3000;

/** The faces that a test looks at. */
type Create = typeof createSyntheticFaces;

function cosine(one: Float32Array, other: Float32Array): number {
  let sum = 0;
  for (let k = 0; k < one.length; k++) sum += (one[k] as number) * (other[k] as number);
  return sum;
}

interface Figures {
  readonly mean: number;
  readonly deviation: number;
  /** Of all, how many are below. */
  shareBelow(bound: number): number;
}

function figuresOf(values: readonly number[]): Figures {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length;
  return {
    mean,
    deviation: Math.sqrt(variance),
    shareBelow: (bound) => values.filter((value) => value < bound).length / values.length,
  };
}

function genuine(faces: SyntheticFaces): Figures {
  return figuresOf(
    Array.from({ length: people }, (_, person) => cosine(faces.photographOf(person, 0), faces.photographOf(person, 1))),
  );
}

/** Pairs of neighbours that are no kin, and of people further apart. */
function impostors(faces: SyntheticFaces): Figures {
  const photographs = Array.from({ length: people }, (_, person) => faces.photographOf(person, 0));
  return figuresOf(
    [2, 7, 31, 333].flatMap((apart) =>
      photographs.map((one, person) => cosine(one, photographs[(person + apart) % people] as Float32Array)),
    ),
  );
}

function kin(faces: SyntheticFaces): Figures {
  return figuresOf(
    Array.from({ length: people / 50 }, (_, family) =>
      cosine(faces.photographOf(50 * family + 48, 0), faces.photographOf(50 * family + 49, 0)),
    ),
  );
}

function hasItsDistributions(create: Create): void {
  for (const [dimensions, deviation] of [
    [512, 0.063],
    [128, 0.126],
  ] as const) {
    const faces = create({ seed: 11, dimensions });
    const same = genuine(faces);
    expect(Math.abs(same.mean - 0.74)).toBeLessThan(0.01);
    expect(Math.abs(same.deviation - 0.075)).toBeLessThan(0.015);
    expect(same.shareBelow(0.4)).toBeGreaterThan(0);
    expect(same.shareBelow(0.4)).toBeLessThan(0.005);
    const other = impostors(faces);
    expect(Math.abs(other.mean)).toBeLessThan(0.02);
    expect(Math.abs(other.deviation / deviation - 1)).toBeLessThan(0.1);
    expect(Math.abs(kin(faces).mean - 0.26)).toBeLessThan(0.05);
  }
}

describe("synthetic faces", () => {
  test("have the distributions of scores that are stated", () => {
    hasItsDistributions(createSyntheticFaces);
  });

  test.each([
    ["photographs as good as each other", "qualitySpread * Math.log(chance)", "0"],
    ["all dimensions alike", "const spectrumSlope = 20;", "const spectrumSlope = 0;"],
    ["nobody is kin", "person % kinEvery === kinEvery - 1 ?", "false ?"],
    ["one stream for all people", "let b = mixed(a ^ first);", "let b = mixed(a);"],
  ])("mutant: %s", async (_, from, to) => {
    const path = join(import.meta.dir, "synthetic-faces.ts");
    const mutant = await importMutant<{ createSyntheticFaces: Create }>(path, from, to);
    await caught(() => hasItsDistributions(mutant.createSyntheticFaces));
  });

  test("are the same for the same seed, in any order, and others for another", () => {
    const [one, again, other] = [1, 1, 2].map((seed) => createSyntheticFaces({ seed, dimensions: 64 }));
    const order = [7, 0, 49, 7] as const;
    expect(order.map((person) => one?.faceOf(person))).toEqual(order.map((person) => again?.faceOf(person)));
    expect(again?.photographOf(3, 9)).toEqual(one?.photographOf(3, 9) as Float32Array<ArrayBuffer>);
    expect(one?.faceOf(7)).not.toEqual(other?.faceOf(7) as Float32Array<ArrayBuffer>);
    expect(one?.photographOf(7, 0)).not.toEqual(one?.photographOf(7, 1) as Float32Array<ArrayBuffer>);
  });

  test("have length 1 in any number of dimensions", () => {
    for (const dimensions of [64, 100, 127, 512, 2048]) {
      const faces = createSyntheticFaces({ seed: 5, dimensions });
      const face = faces.photographOf(49, 3);
      expect(face.length).toBe(dimensions);
      expect(Math.abs(cosine(face, face) - 1)).toBeLessThan(1e-6);
    }
  });

  // A tenth of a second each where the machine is free: enough of them for a simulation to begin at once.
  test("are made by the ten thousands", () => {
    const faces = createSyntheticFaces({ seed: 1, dimensions: 512 });
    const began = performance.now();
    for (let person = 0; person < 20_000; person++) faces.faceOf(person);
    expect(performance.now() - began).toBeLessThan(10_000);
  });
});
