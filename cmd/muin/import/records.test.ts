import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import { quoteOpenAfter } from "./delimited.ts";
import { createLineSplitter } from "./lines.ts";
import { createRecordSplitter, type FileRecord } from "./records.ts";

const scan = (line: string, open: boolean): boolean => quoteOpenAfter(line, open, ",");

/** Text in which lines, quotes and delimiters meet in all ways. */
const tableText = fc
  .array(fc.constantFrom('"', '""', ",", "\n", "\r\n", "a", "é", " ", '"x"', "\n\n"), { maxLength: 60 })
  .map((parts) => Buffer.from(parts.join("")));

function cut(bytes: Uint8Array, sizes: readonly number[]): Uint8Array[] {
  const chunks: Uint8Array[] = [];
  let from = 0;
  for (let index = 0; from < bytes.length; index++) {
    const size = sizes[index % sizes.length] ?? 1;
    chunks.push(bytes.subarray(from, from + size));
    from += size;
  }
  return chunks;
}

function recordsOf(bytes: Uint8Array, sizes: readonly number[], offset = 0): FileRecord[] {
  const splitter = createRecordSplitter(offset, scan);
  return [...cut(bytes, sizes).flatMap((chunk) => Array.from(splitter.push(chunk))), ...splitter.finish()];
}

const sizes = fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 5 });

describe("records", () => {
  test("do not depend on the chunks", () => {
    fc.assert(
      fc.property(tableText, sizes, (bytes, chunkSizes) => {
        expect(recordsOf(bytes, chunkSizes)).toEqual(recordsOf(bytes, [bytes.length + 1]));
      }),
    );
  });

  test("partition the bytes: ends grow, the last one is the file's end, and lines add up", () => {
    fc.assert(
      fc.property(tableText, sizes, (bytes, chunkSizes) => {
        const records = recordsOf(bytes, chunkSizes);
        const ends = records.map(({ end }) => end);
        expect(ends).toEqual([...new Set(ends)].toSorted((a, b) => a - b));
        expect(ends.at(-1) ?? 0).toBe(bytes.length);
        const newlines = bytes.filter((byte) => byte === 0x0a).length;
        const unterminated = bytes.length > 0 && bytes.at(-1) !== 0x0a ? 1 : 0;
        expect(records.reduce((sum, { lines }) => sum + lines, 0)).toBe(newlines + unterminated);
      }),
    );
  });

  test("are the same when reading begins at any record's end", () => {
    fc.assert(
      fc.property(tableText, sizes, fc.nat(), (bytes, chunkSizes, pick) => {
        const records = recordsOf(bytes, chunkSizes);
        const start = pick % (records.length + 1);
        const offset = records[start - 1]?.end ?? 0;
        expect(recordsOf(bytes.subarray(offset), chunkSizes, offset)).toEqual(records.slice(start));
      }),
    );
  });

  test("a quoted newline belongs to its record", () => {
    expect(recordsOf(Buffer.from('a,"b\nc"\nd\n'), [3])).toEqual([
      { text: 'a,"b\nc"', end: 8, lines: 2 },
      { text: "d", end: 10, lines: 1 },
    ]);
  });

  test("a quote that never closes costs its own line only", () => {
    expect(recordsOf(Buffer.from('"a\nb\nc'), [4])).toEqual([
      { text: undefined, end: 3, lines: 1 },
      { text: "b", end: 5, lines: 1 },
      { text: "c", end: 6, lines: 1 },
    ]);
    const long = Buffer.from(`"open\n${"x\n".repeat(1005)}`);
    const splitter = createRecordSplitter(0, scan);
    const records = [...splitter.push(long)];
    expect(records.map(({ text }) => text)).toEqual([undefined, ...Array<string>(1005).fill("x")]);
  });
});

describe("lines", () => {
  test("longer than the bound have no text, and the next one is whole", () => {
    const splitter = createLineSplitter(100, 4);
    const lines = cut(Buffer.from("1234\n12345\r\nab\r\n"), [3]).flatMap((chunk) => Array.from(splitter.push(chunk)));
    expect(lines).toEqual([
      { text: "1234", end: 105 },
      { text: undefined, end: 112 },
      { text: "ab", end: 116 },
    ]);
    expect(splitter.rest()).toBeUndefined();
  });

  test("a character split between chunks stays whole", () => {
    const splitter = createLineSplitter(0);
    const lines = cut(Buffer.from("무인\n주문"), [1]).flatMap((chunk) => Array.from(splitter.push(chunk)));
    expect([...lines, splitter.rest()]).toEqual([
      { text: "무인", end: 7 },
      { text: "주문", end: 13 },
    ]);
  });
});
