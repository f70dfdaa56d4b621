import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import * as fc from "fast-check";
import { importMutant } from "../../../internal/platform/testing/mutant.ts";
import { createExtractor } from "./extract.ts";
import * as planning from "./planner.ts";
import type { Batch, BatchLimits } from "./planner.ts";

const header = "id,state\n";
const row = fc.oneof(
  { weight: 8, arbitrary: fc.constantFrom("1,TX", "2,tx", "3,CA", '4,"N\nY"', "5,주", "6,") },
  { weight: 2, arbitrary: fc.constantFrom("bad", "", '7,"x"y', "8,\ud800") },
);
const file = fc
  .tuple(fc.array(row, { maxLength: 40 }), fc.boolean())
  .map(([rows, ended]) => Buffer.from(header + rows.join("\n") + (ended ? "\n" : "")));
const limits = fc.record<BatchLimits>({
  countsMax: fc.integer({ min: 1, max: 4 }),
  bytesFirst: fc.integer({ min: 1, max: 30 }),
  bytesMax: fc.integer({ min: 1, max: 60 }),
  assignedCharsMax: fc.integer({ min: 1, max: 20 }),
});

interface Position {
  readonly offset: number;
  readonly lines: number;
  readonly known: ReadonlySet<string>;
}

const beginning: Position = { offset: 0, lines: 0, known: new Set() };

/** The batches of the part behind a position, as one run would make them. */
function planFrom(
  bytes: Uint8Array,
  position: Position,
  batchLimits: BatchLimits,
  chunk: number,
  createPlanner: typeof planning.createPlanner = planning.createPlanner,
): Batch[] {
  const extractor = createExtractor({ format: "csv", by: ["state"], header: true, head: bytes, headIsAll: true });
  const planner = createPlanner({ ...position, extractor, limits: batchLimits });
  const batches: Batch[] = [];
  for (let from = position.offset; from < bytes.length; from += chunk)
    batches.push(...planner.push(bytes.subarray(from, from + chunk)));
  return [...batches, ...planner.finish()];
}

function after(position: Position, batches: readonly Batch[]): Position {
  return {
    offset: batches.at(-1)?.offsetEnd ?? position.offset,
    lines: position.lines + batches.reduce((sum, { lines }) => sum + lines, 0),
    known: new Set([...position.known, ...batches.flatMap(({ newValues }) => newValues)]),
  };
}

function totals(batches: readonly Batch[]): unknown {
  const values = new Map<string, number>();
  for (const batch of batches) {
    for (const [value, lines] of batch.values) values.set(value, (values.get(value) ?? 0) + lines);
  }
  return {
    values: Object.fromEntries([...values].toSorted(([a], [b]) => (a < b ? -1 : 1))),
    newValues: batches.flatMap(({ newValues }) => newValues),
    bad: batches.reduce((sum, { badCount }) => sum + badCount, 0),
    end: batches.at(-1)?.offsetEnd ?? 0,
    lines: batches.reduce((sum, { lines }) => sum + lines, 0),
  };
}

/** Throws unless an import that is cut after any batch and run again counts what one run counts. */
function assertResumable(createPlanner: typeof planning.createPlanner): void {
  fc.assert(
    fc.property(file, limits, limits, fc.nat(), fc.integer({ min: 1, max: 30 }), (bytes, one, other, pick, chunk) => {
      const whole = planFrom(bytes, beginning, one, 1 << 20);
      const first = planFrom(bytes, beginning, one, chunk, createPlanner);
      const done = first.slice(0, pick % (first.length + 1));
      const rest = planFrom(bytes, after(beginning, done), other, chunk, createPlanner);
      expect(totals([...done, ...rest])).toEqual(totals(whole));
    }),
  );
}

describe("batches", () => {
  test("give the same totals when the import is cut after any batch and run again", () => {
    assertResumable(planning.createPlanner);
  });

  test.each<[rule: string, from: string, to: string]>([
    ["a batch tells how far it reaches", "    batch.offsetEnd = record.end;", "    batch.offsetEnd ||= record.end;"],
    [
      "a closed batch does not hold the next record",
      "countsMax) yield close();",
      "countsMax) { batch.offsetEnd = record.end; yield close(); }",
    ],
    ["the header is never counted", "record.end <= extractor.headerEnd", "record.end < extractor.headerEnd"],
    ["what earlier runs met is known", "new Set(options.known)", "new Set<string>()"],
  ])("would be caught otherwise: %s", async (_rule, from, to) => {
    const mutant = await importMutant<typeof planning>(join(import.meta.dir, "planner.ts"), from, to);
    expect(() => assertResumable(mutant.createPlanner)).toThrow();
  });

  test("keep their limits, follow each other, and name a value where it is first counted", () => {
    fc.assert(
      fc.property(file, limits, (bytes, batchLimits) => {
        const seen = new Set<string>();
        let offset = 0;
        for (const batch of planFrom(bytes, beginning, batchLimits, 7)) {
          expect(batch.offsetEnd).toBeGreaterThan(offset);
          offset = batch.offsetEnd;
          expect(batch.values.size).toBeLessThanOrEqual(batchLimits.countsMax);
          for (const value of batch.newValues) {
            expect(seen.has(value)).toBe(false);
            seen.add(value);
            expect(batch.values.has(value)).toBe(true);
          }
          for (const value of batch.values.keys()) expect(seen.has(value)).toBe(true);
          expect([...batch.values.values()].reduce((sum, delta) => sum + delta, 0)).toBe(batch.counted);
        }
      }),
    );
  });

  test("count what the eye counts, and number bad lines as an editor does", () => {
    const bytes = Buffer.from('id,state\n1,TX\n2,"N\nY"\nbad\n\n3,tx\n4,TX');
    const [batch, ...others] = planFrom(
      bytes,
      beginning,
      { countsMax: 9, bytesFirst: 999, bytesMax: 999, assignedCharsMax: 999 },
      5,
    );
    expect(others).toEqual([]);
    expect(batch).toMatchObject({
      offsetEnd: bytes.length,
      lines: 8,
      counted: 4,
      badCount: 1,
      bad: [{ line: 5, why: "it has 1 column, not 2", text: "bad" }],
    });
    expect([...(batch?.values ?? [])]).toEqual([
      ["TX", 2],
      ["N\nY", 1],
      ["tx", 1],
    ]);
    expect(batch?.newValues).toEqual(["TX", "N\nY", "tx"]);
  });

  test("an unterminated last line is left when more may come", () => {
    const extractor = createExtractor({
      format: "csv",
      by: ["1"],
      header: false,
      head: Buffer.from(""),
      headIsAll: false,
    });
    const planner = planning.createPlanner({ offset: 0, lines: 0, extractor, known: [] });
    expect([...planner.push(Buffer.from("a,1\nb,2"))]).toEqual([]);
    expect(planner.flush()).toMatchObject({ offsetEnd: 4, counted: 1 });
    expect(planner.flush()).toBeUndefined();
    expect([...planner.push(Buffer.from("2\n"))]).toEqual([]);
    expect(planner.flush()).toMatchObject({ offsetEnd: 9, counted: 1 });
  });
});
