import { describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { join } from "node:path";
import * as fc from "fast-check";
import { Secret } from "../../platform/config/fields.ts";
import { caught, importMutant } from "../../platform/testing/mutant.ts";
import { bytesOf } from "./embedding.ts";
import { anyVector, cosineOf, secret, seededFractions, unitOf } from "./face-fixture.ts";
import type { KeyedGallery } from "./gallery.ts";
import { createTemplates, templateKeyId, type Templates } from "./template.ts";

type CreateTemplates = typeof createTemplates;

const other = new Secret("another secret of the tests");
const keyId = templateKeyId(secret);
const gallery: KeyedGallery = { branchId: "branch", modelId: "model", generation: 1, keyId };

function turn(templates: Templates, unit: Float64Array, of: KeyedGallery = gallery): Float32Array {
  const template = templates.turn(of, unit);
  if (template === undefined) throw new Error("the gallery's secret is not known");
  return template;
}

/** Every cosine is kept to a millionth, whatever the number of dimensions. */
function checkCosines(create: CreateTemplates): void {
  fc.assert(
    fc.property(fc.integer(), fc.constantFrom(64, 65, 128, 511, 512), fc.nat(), (seed, size, generation) => {
      const fraction = seededFractions(seed);
      const templates = create({ present: secret });
      const [one, two] = [unitOf(anyVector(fraction, size)), unitOf(anyVector(fraction, size))];
      const axis = Float64Array.from({ length: size }, (_, place) => (place === size - 1 ? 1 : 0));
      const [turnedOne, turnedTwo, turnedAxis] = [one, two, axis].map((unit) =>
        turn(templates, unit, { ...gallery, generation }),
      ) as [Float32Array, Float32Array, Float32Array];
      for (const turned of [turnedOne, turnedTwo, turnedAxis])
        expect(Math.abs(Math.hypot(...turned) - 1)).toBeLessThan(1e-6);
      expect(Math.abs(cosineOf(turnedOne, turnedTwo) - cosineOf(one, two))).toBeLessThan(1e-6);
      expect(Math.abs(cosineOf(turnedOne, turnedAxis) - cosineOf(one, axis))).toBeLessThan(1e-6);
    }),
    { numRuns: 50 },
  );
}

/** A template that is turned back, and for another gallery, is what its embedding would be there, to a millionth. */
function checkBack(create: CreateTemplates): void {
  fc.assert(
    fc.property(fc.integer(), fc.constantFrom(64, 65, 128, 511, 512), (seed, size) => {
      const unit = unitOf(anyVector(seededFractions(seed), size));
      const templates = create({ present: other, former: secret });
      const renewed = { ...gallery, generation: 2, keyId: templateKeyId(other) };
      const back = templates.turnBack(gallery, turn(templates, unit));
      if (back === undefined) throw new Error("the gallery's secret is not known");
      const anew = turn(templates, back, renewed);
      const wanted = turn(templates, unit, renewed);
      for (const [place, value] of anew.entries()) expect(Math.abs(value - wanted[place]!)).toBeLessThan(1e-6);
    }),
    { numRuns: 50 },
  );
}

/** The templates of one face in two galleries are no more alike than those of strangers: cosines of 512 numbers have a standard deviation of 0.044. */
function checkUnlinked(create: CreateTemplates): void {
  const templates = create({ present: secret, former: other });
  const places: readonly KeyedGallery[] = [
    gallery,
    { ...gallery, generation: 2 },
    { ...gallery, branchId: "branch2" },
    { ...gallery, modelId: "model2" },
    { ...gallery, keyId: templateKeyId(other) },
  ];
  const axis = Float64Array.from({ length: 512 }, (_, place) => (place === 0 ? 1 : 0));
  for (const face of [unitOf(anyVector(seededFractions(1), 512)), axis]) {
    const turned = [face, ...places.map((place) => turn(templates, face, place))];
    const cosines = turned.flatMap((one, at) => turned.slice(at + 1).map((two) => Math.abs(cosineOf(one, two))));
    expect(cosines.filter((cosine) => cosine > 0.25)).toEqual([]);
  }
}

/** Its version is part of what is stored: a face that was turned yesterday is found tomorrow. */
function checkVersion(create: CreateTemplates): void {
  const face = unitOf(anyVector(seededFractions(2), 512));
  const template = turn(create({ present: secret }), face);
  // To six digits: the last ones are the machine's cosines.
  const text = Array.from(template, (number) => number.toFixed(6)).join();
  expect(createHash("sha256").update(text).digest("hex")).toBe(
    "7102a5b1d31fa302a40dc092d1586ddbe64086461bc194795ac77849e9526c2c",
  );
}

describe("templates", () => {
  test("keep every cosine", () => checkCosines(createTemplates));

  test("of one face in two galleries, or by two secrets, have nothing to do with each other", () =>
    checkUnlinked(createTemplates));

  test("are those of version 1", () => checkVersion(createTemplates));

  test("come out the same in every process, and whatever was turned before", () => {
    const face = unitOf(anyVector(seededFractions(3), 64));
    const templates = createTemplates({ present: secret });
    const first = bytesOf(turn(templates, face));
    for (let generation = 2; generation < 100; generation += 1) turn(templates, face, { ...gallery, generation });
    expect(bytesOf(turn(templates, face))).toEqual(first);
    expect(bytesOf(turn(createTemplates({ present: other, former: secret }), face))).toEqual(first);
    expect(turn(templates, unitOf(anyVector(seededFractions(3), 65)))).toHaveLength(65);
  });

  test("are turned back", () => checkBack(createTemplates));

  test("are made by the present secret and the former one, and by no other", () => {
    const face = unitOf(anyVector(seededFractions(4), 64));
    expect(createTemplates({ present: other }).turn(gallery, face)).toBeUndefined();
    expect(createTemplates({ present: other }).keyId).toBe(templateKeyId(other));
    expect(templateKeyId(secret)).toMatch(/^[0-9a-f]{8}$/);
    expect(templateKeyId(secret)).not.toBe(templateKeyId(other));
  });

  test.each([
    [
      checkUnlinked,
      'hkdfSync("sha256", secret.reveal(), versionSalt, name, 48)',
      'hkdfSync("sha256", secret.reveal(), versionSalt, "", 48)',
    ],
    [
      checkUnlinked,
      'hkdfSync("sha256", secret.reveal(), versionSalt, name, 48)',
      'hkdfSync("sha256", "", versionSalt, name, 48)',
    ],
    [checkUnlinked, "const rounds = 16;", "const rounds = 1;"],
    [checkCosines, "angles[at + 1] = Math.sin(angle);", "angles[at + 1] = Math.sin(2 * angle);"],
    [checkVersion, "muin-face-template-v1", "muin-face-template-v2"],
    [checkVersion, "sine * x + cosine * y", "cosine * y - sine * x"],
    [checkBack, "cosine * x + sine * y", "cosine * x - sine * y"],
  ] as const)("are noticed to be broken: %p with %s as %s", async (check, rule, instead) => {
    const path = join(import.meta.dir, "template.ts");
    const mutant = await importMutant<{ createTemplates: CreateTemplates }>(path, rule, instead);
    await caught(() => check(mutant.createTemplates));
  });
});
