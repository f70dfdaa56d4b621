import type { Extractor } from "./extract.ts";
import { createRecordSplitter, type FileRecord } from "./records.ts";

/** Different values that one import may have: what bounds the memory of both sides. */
export const valuesMax = 1_000_000;

/** Sizes at which a batch is closed. */
export interface BatchLimits {
  /** Different Counts. */
  readonly countsMax: number;
  /** Bytes of the file in the first batch. Each later one may have twice as many as the one before. */
  readonly bytesFirst: number;
  /** Bytes of the file in any batch. */
  readonly bytesMax: number;
  /** Characters of newly assigned values, so that a batch stays well below the size of a message. */
  readonly assignedCharsMax: number;
}

/**
 * The server takes 1000 Counts a batch. The first batches are small, so that something is seen soon, and grow until what a batch
 * costs beside its lines no longer matters.
 */
export const batchLimits: BatchLimits = {
  countsMax: 1000,
  bytesFirst: 1 << 18,
  bytesMax: 1 << 22,
  assignedCharsMax: 256 * 1024,
};

/** Bad lines that are kept word for word, of each batch. */
const badLinesKeptMax = 10;

/** Characters of a bad line that are kept. */
const badLineCharsMax = 200;

/** A line that could not be counted. */
export interface BadLine {
  /** Its number in the file, from 1. */
  readonly line: number;
  /** What is wrong with it. */
  readonly why: string;
  /** Its beginning; empty when it was too long to be kept. */
  readonly text: string;
}

/** A stretch of the file that is counted at once. It begins where the one before ended. */
export interface Batch {
  /** Offset of the first byte after it. */
  readonly offsetEnd: number;
  /** Lines that it covers: counted, bad, blank and header lines. */
  readonly lines: number;
  /** Records counted: the sum of `values`. */
  readonly counted: number;
  /** How often each value was met. */
  readonly values: ReadonlyMap<string, number>;
  /** Those of them that were not met before, in their order. */
  readonly newValues: readonly string[];
  /** Number of bad lines. */
  readonly badCount: number;
  /** The first of them. */
  readonly bad: readonly BadLine[];
}

/** Thrown when a file has more different values than an import may have. */
export class TooManyValuesError extends Error {
  override readonly name = "TooManyValuesError";
}

/** Groups a file's records into batches. What a batch holds depends on the bytes and the known values alone, not on the chunks. */
export interface Planner {
  /** The batches that are full with this chunk. */
  push(chunk: Uint8Array): Generator<Batch, void, void>;
  /** What is left over, as one batch or none; complete records only. */
  flush(): Batch | undefined;
  /** The last batches, when nothing will ever follow: an unterminated last line counts. */
  finish(): Generator<Batch, void, void>;
  /** The text of what follows the last complete record, once nothing is pushed any more. */
  rest(): string;
}

/** Where a planner begins. */
export interface PlannerOptions {
  /** Offset of the first byte that is pushed: 0, or the end of a batch. */
  readonly offset: number;
  /** Lines before that offset. */
  readonly lines: number;
  readonly extractor: Extractor;
  /** Values that were met before that offset. */
  readonly known: Iterable<string>;
  readonly limits?: BatchLimits;
}

/** A planner for the part of a file from `offset` on. */
export function createPlanner(options: PlannerOptions): Planner {
  const { extractor, limits = batchLimits } = options;
  const known = new Set(options.known);
  const splitter = createRecordSplitter(options.offset, extractor.scanQuotes);
  let offset = options.offset;
  let line = options.lines;
  let bytesMax = Math.min(limits.bytesFirst, limits.bytesMax);
  let batch = emptyBatch();

  const close = (): Batch => {
    const { assignedChars: _, start: __, ...closed } = batch;
    batch = emptyBatch();
    bytesMax = Math.min(bytesMax * 2, limits.bytesMax);
    return closed;
  };
  function emptyBatch() {
    return {
      start: offset,
      offsetEnd: offset,
      lines: 0,
      counted: 0,
      values: new Map<string, number>(),
      newValues: [] as string[],
      assignedChars: 0,
      badCount: 0,
      bad: [] as BadLine[],
    };
  }

  function* add(record: FileRecord): Generator<Batch, void, void> {
    const { text } = record;
    const extracted =
      record.end <= extractor.headerEnd
        ? undefined
        : text === undefined
          ? { bad: "it is too long, or a quote is never closed" }
          : extractor.extract(text);
    if (typeof extracted === "string") {
      if (!batch.values.has(extracted) && batch.values.size >= limits.countsMax) yield close();
      batch.values.set(extracted, (batch.values.get(extracted) ?? 0) + 1);
      batch.counted++;
      if (!known.has(extracted)) {
        known.add(extracted);
        if (known.size > valuesMax) throw new TooManyValuesError(`more than ${valuesMax} different values`);
        batch.newValues.push(extracted);
        batch.assignedChars += extracted.length;
      }
    } else if (extracted !== undefined) {
      batch.badCount++;
      if (batch.bad.length < badLinesKeptMax) {
        batch.bad.push({ line: line + 1, why: extracted.bad, text: (text ?? "").slice(0, badLineCharsMax) });
      }
    }
    offset = record.end;
    line += record.lines;
    batch.offsetEnd = record.end;
    batch.lines += record.lines;
    if (offset - batch.start >= bytesMax || batch.assignedChars >= limits.assignedCharsMax) yield close();
  }

  const flush = (): Batch | undefined => (batch.lines === 0 ? undefined : close());
  return {
    *push(chunk) {
      for (const record of splitter.push(chunk)) yield* add(record);
    },
    flush,
    *finish() {
      for (const record of splitter.finish()) yield* add(record);
      const last = flush();
      if (last !== undefined) yield last;
    },
    rest: () => [...splitter.finish()].map(({ text = "" }) => text).join("\n"),
  };
}
