import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import * as fc from "fast-check";
import { caught, importMutant } from "../../platform/testing/mutant.ts";
import { bytesOf, readEmbedding } from "./embedding.ts";
import { cosineOf } from "./face-fixture.ts";

const model = { dimensions: 4, mean: undefined };

function bytes(...numbers: number[]): Buffer {
  return bytesOf(Float32Array.from(numbers));
}

const faults: readonly [string, Uint8Array, Float32Array | undefined, string][] = [
  ["too short", bytes(1, 2, 3), undefined, "wrong_length"],
  ["too long", bytes(1, 2, 3, 4, 5), undefined, "wrong_length"],
  ["a byte short", bytes(1, 2, 3, 4).subarray(0, 15), undefined, "wrong_length"],
  ["empty", bytes(), undefined, "wrong_length"],
  ["with NaN", bytes(1, Number.NaN, 3, 4), undefined, "not_finite"],
  ["with an infinity", bytes(1, 2, Number.NEGATIVE_INFINITY, 4), undefined, "not_finite"],
  ["zero", bytes(0, 0, -0, 0), undefined, "zero"],
  ["zero, for a model with a mean", bytes(0, 0, -0, 0), Float32Array.of(1, 2, 3, 4), "zero"],
  ["next to nothing", bytes(5e-4, 5e-4, 0, 0), undefined, "zero"],
  ["next to nothing, for a model with a small mean", bytes(5e-4, 0, 0, 0), Float32Array.of(0, 0.01, 0, 0), "zero"],
  ["next to nothing beside the mean", bytes(0.04, 0, 0, 0), Float32Array.of(0, 5, 0, 0), "zero"],
  ["the mean itself", bytes(1, 2, 3, 4), Float32Array.of(1, 2, 3, 4), "zero"],
];

function check(read: typeof readEmbedding): void {
  for (const [, embedding, mean, fault] of faults)
    expect(read(embedding, { ...model, mean })).toEqual({ fault } as never);
}

describe("an embedding", () => {
  test.each(faults)("%s is refused", (_, embedding, mean, fault) => {
    expect(readEmbedding(embedding, { ...model, mean })).toEqual({ fault } as never);
  });

  test("is read at any place of a buffer, less the mean, and brought to length 1", () => {
    const longer = new Uint8Array([7, ...bytes(4, 2, 3, 4)]);
    expect(readEmbedding(longer.subarray(1), { ...model, mean: Float32Array.of(1, 2, 3, 0) })).toEqual({
      unit: Float64Array.of(0.6, 0, 0, 0.8),
    });
  });

  test("keeps the cosine to others, however large its numbers", () => {
    const numbers = fc.float32Array({ minLength: 4, maxLength: 4, noNaN: true, noDefaultInfinity: true });
    fc.assert(
      fc.property(numbers, numbers, (one, other) => {
        const units = [one, other].map((values) => readEmbedding(bytesOf(values), model).unit);
        if (units.some((unit) => unit === undefined)) return;
        const [first, second] = units as [Float64Array, Float64Array];
        expect(cosineOf(first, second)).toBeCloseTo(cosineOf(one, other), 9);
        expect(Math.hypot(...first)).toBeCloseTo(1, 12);
      }),
    );
  });

  test.each([
    ["if (!Number.isFinite(value))", "if (false)"],
    ["if (length < lengthMin)", "if (false)"],
    ["if (bytes.byteLength !== dimensions * Float32Array.BYTES_PER_ELEMENT)", "if (bytes.byteLength < 16)"],
    ["given - middle", "given"],
    ["Math.max(givenLengthMin, shareOfMeanMin * Math.sqrt(meanSquares))", "givenLengthMin"],
    ["Math.max(givenLengthMin, shareOfMeanMin * Math.sqrt(meanSquares))", "shareOfMeanMin * Math.sqrt(meanSquares)"],
  ])("is noticed to be unguarded without %s", async (rule, instead) => {
    const path = join(import.meta.dir, "embedding.ts");
    const mutant = await importMutant<{ readEmbedding: typeof readEmbedding }>(path, rule, instead);
    await caught(() => check(mutant.readEmbedding));
  });
});
