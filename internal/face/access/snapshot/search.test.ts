import { expect, test } from "bun:test";
import { join } from "node:path";
import { caught, importMutant } from "../../../platform/testing/mutant.ts";
import { isMatch, rescore, type SearchResult } from "../../shared/face-engine.ts";
import { anyVector, near, seededFractions, templateOf } from "../../shared/face-fixture.ts";
import { createRows, type Rows } from "./rows.ts";
import { createScanMemory } from "./scan-memory.ts";
import { createScanPages, type Scan } from "./scan-pages.ts";
import type { Scanner } from "./scanner.ts";
import * as search from "./search.ts";

const seed = Number(process.env["SEED"] ?? 20261130);
const dimensions = 64;
const { signal } = new AbortController();

/** A gallery with what scans it; `during` is done while a scan is under way. */
function gallery(during: (rows: Rows, scan: Scan) => void = () => undefined) {
  const memory = createScanMemory(16 * 1024 * 1024);
  const rows = createRows(memory, dimensions);
  const scanPages = createScanPages(memory.memory, "here");
  const ks: number[] = [];
  const scanner: Pick<Scanner, "scan"> = {
    scan: async (scan) => {
      ks.push(scan.k);
      const found = scanPages(scan);
      during(rows, scan);
      return found;
    },
  };
  return { rows, scanner, ks, denied: new Set<string>() };
}

/** What there is to find, without any scan. */
function exactly(rows: Rows, denied: ReadonlySet<string>, template: Float32Array): SearchResult {
  return rescore(
    template,
    rows.all().filter(({ enrolmentId }) => !denied.has(enrolmentId)),
  );
}

/**
 * One face lies a little nearer than very many of one other person, by less than whole numbers can tell: it may be anywhere among them, and the second person is far behind.
 */
async function findAmongMany(searchRows: typeof search.searchRows): Promise<void> {
  const fraction = seededFractions(seed);
  const { rows, scanner, ks, denied } = gallery();
  const query = templateOf(anyVector(fraction));
  for (let enrolment = 0; enrolment < 300; enrolment += 1)
    rows.put({ memberId: "many", enrolmentId: `e${enrolment}` }, [near(query, 0.8, fraction)]);
  for (let round = 0; round < 20; round += 1) {
    rows.put({ memberId: "one", enrolmentId: "only" }, [near(query, 0.8003 - round / 50_000, fraction)]);
    const found = await searchRows({ rows, denied }, query, undefined, scanner, signal);
    expect(found).toEqual(exactly(rows, denied, query));
  }
  expect(Math.max(...ks)).toBeGreaterThan(64);
}

test(`the likest is found though the scan does not have it among the first (seed ${seed})`, () =>
  findAmongMany(search.searchRows));

test("mutant: what a scan did not find is taken to be no nearer than its score says", async () => {
  const broken = await importMutant<typeof search>(
    join(import.meta.dir, "search.ts"),
    "if (isFinal(result, restCosineMax",
    "if (found.size > 0 || isFinal(result, restCosineMax",
  );
  await caught(() => findAmongMany(broken.searchRows));
});

test("a search that few faces decide looks at few, in one scan", async () => {
  const fraction = seededFractions(seed + 4);
  const { rows, scanner, ks, denied } = gallery();
  const query = templateOf(anyVector(fraction));
  for (let person = 0; person < 1000; person += 1)
    rows.put({ memberId: `m${person}`, enrolmentId: "e" }, [templateOf(anyVector(fraction))]);
  rows.put({ memberId: "wanted", enrolmentId: "e" }, [near(query, 0.9, fraction)]);
  const rule = { threshold: 0.6, margin: 0.05 };
  const found = await search.searchRows({ rows, denied }, query, rule, scanner, signal);
  expect([found.best?.memberId, isMatch(found, rule)]).toEqual(["wanted", true]);
  expect(ks).toEqual([16]);
});

/** Random galleries, with people who have several enrolments, some denied, some taken away. */
async function findInAny(searchRows: typeof search.searchRows): Promise<void> {
  const fraction = seededFractions(seed + 1);
  const below = (bound: number): number => Math.floor(fraction() * bound);
  for (let round = 0; round < 40; round += 1) {
    const { rows, scanner, denied } = gallery();
    const centre = templateOf(anyVector(fraction));
    const people = 1 + below(400);
    for (let step = 0; step < people * 2; step += 1) {
      const enrolment = { memberId: `m${below(people)}`, enrolmentId: `e${below(2 * people)}` };
      const template = (): Float32Array =>
        round % 2 === 0 ? near(centre, 0.7, fraction) : templateOf(anyVector(fraction));
      if (fraction() < 0.2) rows.remove(enrolment);
      else rows.put(enrolment, Array.from({ length: 1 + below(3) }, template));
      if (fraction() < 0.05) denied.add(enrolment.enrolmentId);
    }
    for (let probe = 0; probe < 5; probe += 1) {
      const face = rows.all()[below(rows.count)];
      const query = face === undefined || probe === 0 ? centre : near(face.template, 0.5 + fraction() / 2, fraction);
      const found = await searchRows({ rows, denied }, query, undefined, scanner, signal);
      expect(found).toEqual(exactly(rows, denied, query));
    }
  }
}

test(`in random galleries the likest and the second person are found exactly (seed ${seed})`, () =>
  findInAny(search.searchRows));

test(`with a rule to decide by, whoever is found and whether it is a match is the same (seed ${seed})`, async () => {
  const fraction = seededFractions(seed + 4);
  let [first, all] = [0, 0];
  for (let round = 0; round < 60; round += 1) {
    const { rows, scanner, ks, denied } = gallery();
    const centre = templateOf(anyVector(fraction));
    for (let member = 0; member < 600; member += 1)
      rows.put({ memberId: `m${member % 300}`, enrolmentId: `e${member}` }, [near(centre, 0.8, fraction)]);
    const query = near(rows.all()[round]!.template, 0.7 + 0.3 * fraction(), fraction);
    const rule = { threshold: 0.5 + 0.4 * fraction(), margin: 0.2 * fraction() };
    const found = await search.searchRows({ rows, denied }, query, rule, scanner, signal);
    const exact = exactly(rows, denied, query);
    expect(isMatch(found, rule)).toBe(isMatch(exact, rule));
    if (isMatch(exact, rule)) expect(found.best).toEqual(exact.best);
    first += ks.length === 1 ? 1 : 0;
    all += 1;
  }
  expect(first).toBeGreaterThan(all / 2); // Most end at once.
});

test("mutant: denied enrolments are found", async () => {
  const broken = await importMutant<typeof search>(
    join(import.meta.dir, "search.ts"),
    "!denied.has(enrolmentId)",
    "denied.size >= 0 || enrolmentId === undefined",
  );
  await caught(() => findInAny(broken.searchRows));
});

/** While the scan is under way, the one who is looked for is replaced, and another takes the slot. */
async function findReplaced(searchRows: typeof search.searchRows): Promise<void> {
  const fraction = seededFractions(seed + 2);
  const query = templateOf(anyVector(fraction));
  let replaced = false;
  const { rows, scanner, denied } = gallery((rows) => {
    if (replaced) return;
    replaced = true;
    rows.put({ memberId: "wanted", enrolmentId: "new" }, [near(query, 0.9, fraction)]);
    rows.remove({ memberId: "wanted", enrolmentId: "old" });
    rows.put({ memberId: "stranger", enrolmentId: "late" }, [templateOf(anyVector(fraction))]);
  });
  rows.put({ memberId: "wanted", enrolmentId: "old" }, [near(query, 0.8, fraction)]);
  for (let face = 0; face < 500; face += 1)
    rows.put({ memberId: `m${face}`, enrolmentId: "e" }, [templateOf(anyVector(fraction))]);
  const found = await searchRows({ rows, denied }, query, undefined, scanner, signal);
  expect(found).toEqual(exactly(rows, denied, query));
  expect(found.best?.enrolmentId).toBe("new");
}

test("a face that is replaced while it is looked for is found as it is afterwards", () =>
  findReplaced(search.searchRows));

test("mutant: what was written during the scan is passed over", async () => {
  const broken = await importMutant<typeof search>(
    join(import.meta.dir, "search.ts"),
    "for (const face of since) found.add(face);",
    "",
  );
  await caught(() => findReplaced(broken.searchRows));
});

test("of one person only their own faces are compared", () => {
  const fraction = seededFractions(seed + 3);
  const { rows, denied } = gallery();
  const query = templateOf(anyVector(fraction));
  rows.put({ memberId: "nearer", enrolmentId: "a" }, [near(query, 0.9, fraction)]);
  rows.put({ memberId: "named", enrolmentId: "b" }, [near(query, 0.4, fraction), near(query, 0.5, fraction)]);
  const found = search.searchPerson({ rows, denied }, query, "named");
  expect(found.best?.enrolmentId).toBe("b");
  expect(found.best?.score).toBeLessThan(0.7);
  expect(found.second).toBeUndefined();
  expect(search.searchPerson({ rows, denied: new Set(["b"]) }, query, "named").best).toBeUndefined();
});
