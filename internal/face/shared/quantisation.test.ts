import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import * as fc from "fast-check";
import { openRedis, type OpenRedis } from "../../platform/redis/open-redis.ts";
import { caught, importMutant } from "../../platform/testing/mutant.ts";
import { sharedRedis } from "../../platform/testing/redis.ts";
import { bytesOf } from "./embedding.ts";
import { anyVector, cosineOf, seededFractions, templateOf } from "./face-fixture.ts";
import * as quantisation from "./quantisation.ts";

type Quantisation = typeof quantisation;

let store: OpenRedis;

beforeAll(async () => {
  store = openRedis({ url: (await sharedRedis()).url, name: "test" });
  await store.start();
});
afterAll(() => store.stop());

/** Vectors that int8 is good at and bad at: of any direction, of few large numbers, of many that are just lost. */
function vectorOf(fraction: () => number, size: number): Float64Array {
  const vector = anyVector(fraction, size);
  const kind = Math.floor(fraction() * 4);
  if (kind === 1) return vector.map((number) => number ** 5);
  if (kind === 2) return vector.map((_, place) => (place === 0 ? 1 : 0.49 / 127));
  if (kind === 3) return vector.map((number) => Math.sign(number) * (0.98 + 0.02 * fraction()));
  return vector;
}

/** Asks Redis for scores, and holds the cosines against them. */
async function checkBound({ quantisationError, cosineErrorMax, quantisationErrorMax }: Quantisation): Promise<void> {
  await fc.assert(
    fc.asyncProperty(fc.integer(), fc.constantFrom(64, 65, 512, 2048), async (seed, size) => {
      const fraction = seededFractions(seed);
      const key = `quantisation:${crypto.randomUUID()}`;
      const templates = Array.from({ length: 8 }, () => templateOf(vectorOf(fraction, size)));
      const query = templateOf(vectorOf(fraction, size));
      for (const [name, template] of templates.entries())
        await store.client.call("VADD", key, "FP32", bytesOf(template), name);
      const scores = (await store.client.call("VSIM", key, "FP32", bytesOf(query), "WITHSCORES", "TRUTH")) as string[];
      await store.client.unlink(key);
      for (let place = 0; place < scores.length; place += 2) {
        const template = templates[Number(scores[place])] as Float32Array;
        const errorMax = cosineErrorMax(quantisationError(query), quantisationError(template), size);
        expect(Math.abs(cosineOf(query, template) - (2 * Number(scores[place + 1]) - 1))).toBeLessThanOrEqual(errorMax);
        expect(quantisationError(template)).toBeLessThanOrEqual(quantisationErrorMax(size) + 1e-6);
      }
    }),
    { numRuns: 60 },
  );
}

/** Asks Redis for the int8 that it made of a vector, and holds the error against them. */
async function checkError({ quantisationError }: Quantisation): Promise<void> {
  const key = `quantisation:${crypto.randomUUID()}`;
  const fraction = seededFractions(1);
  for (let run = 0; run < 20; run += 1) {
    const template = templateOf(vectorOf(fraction, 512));
    await store.client.call("VADD", key, "FP32", bytesOf(template), run);
    const raw = (await store.client.callBuffer("VEMB", key, run, "RAW")) as Buffer[];
    const quants = new Int8Array(raw[1] as Buffer);
    const largest = Number(raw[3]);
    const differences = Array.from(template, (number, place) => number - ((quants[place] as number) * largest) / 127);
    expect(Math.abs(quantisationError(template) - Math.hypot(...differences))).toBeLessThan(1e-6);
  }
  await store.client.unlink(key);
}

describe("the quantisation of a vector set", () => {
  test("moves no cosine by more than the bound", () => checkBound(quantisation), 60_000);

  test("is the one whose error is computed", () => checkError(quantisation));

  test("of a vector of zeros loses nothing", () => {
    expect(quantisation.quantisationError(new Float32Array(64))).toBe(0);
  });

  test.each([
    [checkBound, "return queryError + storedErrorMax +", "return storedErrorMax +"],
    [checkBound, "return queryError + storedErrorMax +", "return queryError +"],
    [
      checkBound,
      "return queryError + storedErrorMax + queryError * storedErrorMax + roundingPerDimension * dimensions;",
      "return 0;",
    ],
    [checkError, "const quantMax = 127;", "const quantMax = 128;"],
    [checkError, "return Math.sqrt(squares);", "return squares;"],
  ] as const)(
    "is noticed to be misjudged: %p with %s as %s",
    async (check, rule, instead) => {
      const path = join(import.meta.dir, "quantisation.ts");
      const mutant = await importMutant<Quantisation>(path, rule, instead);
      await caught(() => check(mutant));
    },
    60_000,
  );
});
