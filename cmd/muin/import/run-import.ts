import { createHash } from "node:crypto";
import type { Clock } from "../../../internal/platform/clock/clock.ts";
import { createCountOwners, type CountOwners } from "./count-owners.ts";
import { createExtractor, ImportOptionsError } from "./extract.ts";
import { detectFormat, type Format } from "./format.ts";
import { decodeText, endsLinesInCr, holdsCr } from "./lines.ts";
import { type BadLine, type Batch, createPlanner } from "./planner.ts";
import type { Source } from "./source.ts";
import { DamagedSourceError, OtherSourceError, SourceError } from "./source-error.ts";
import { createTail, readOn, type Tail, tailStart } from "./tail.ts";
import type { ImportPosition, ImportTarget, Refusal } from "./target.ts";

/** What the user asked for. */
export interface ImportOptions {
  /** Absent: told by the content. */
  readonly format: Format | undefined;
  readonly by: readonly string[];
  readonly prefix: string;
  readonly header: boolean;
  /** Count an unterminated last line. */
  readonly final: boolean;
  /** Empty: the file's beginning names the import. */
  readonly importId: string;
  readonly restart: boolean;
}

/** What one run did. */
export interface ImportResult {
  readonly importId: string;
  readonly format: Format;
  /** Offset at which this run began. */
  readonly offsetStart: number;
  /** Offset reached: decompressed bytes counted by this and earlier runs. */
  offset: number;
  /** Lines that this run covered. */
  lines: number;
  /** Records that this run counted. */
  counted: number;
  /** Bad lines of this run, and the first of them. */
  badCount: number;
  readonly bad: BadLine[];
  /** Lines of applied batches that a Count would not take. */
  readonly refused: Refusal[];
  /** What this run added to each Count. */
  readonly writes: Map<string, number>;
  /** How it ended: all is counted; a last line has no end yet; it was told to stop; the source broke, with the reason. */
  end: "finished" | "unterminated" | "interrupted" | { readonly broken: string };
  /** What is odd about the source, a sentence each. */
  warnings: readonly string[];
}

/** The source of a run, where its batches go, and who is told. */
export interface ImportDeps {
  readonly source: Source;
  readonly target: ImportTarget;
  readonly clock: Clock;
  /** Aborted: the batch under way is finished, no other is begun. */
  readonly signal: AbortSignal;
  /** Called once the import is found or begun, before its first batch. */
  readonly onStart: (result: ImportResult, detected: boolean) => void;
  /** Called after each batch. */
  readonly onBatch: (result: ImportResult, batch: Batch) => void;
}

/** Bad lines of which the result tells word for word. */
const badLinesShownMax = 10;

const crInRest = "the last line has no end, and CR stands within it: lines end in LF or CR LF";

/** A stream that is quiet for so long has what came so far counted. */
const idleMs = 1000;

/** The options that decide what is counted, as the server compares them. */
function hashOptions(format: Format, options: ImportOptions): Uint8Array<ArrayBuffer> {
  const header = format === "csv" || format === "tsv" ? options.header : undefined;
  const text = JSON.stringify([1, format, options.by, options.prefix, header ?? null]);
  return Uint8Array.from(createHash("sha256").update(text).digest());
}

/** Counts what of the source was not counted before. Rejects with `SourceError` when it is damaged or not the one that was counted. */
export async function runImport(options: ImportOptions, deps: ImportDeps): Promise<ImportResult> {
  const { source, target, signal } = deps;
  await source.verify(signal);
  if (endsLinesInCr(source.head)) {
    throw new ImportOptionsError(
      `the lines of ${source.name} end in CR alone; convert them to LF, such as with tr '\\r' '\\n', and import that`,
    );
  }
  const endIsFinal = source.compressed || options.final;
  const format = options.format ?? formatOf(source);
  const extractor = createExtractor({
    ...options,
    format,
    head: source.head,
    headIsAll: source.headIsAll && endIsFinal,
  });
  const position: ImportPosition = await target.start({
    optionsHash: hashOptions(format, options),
    // A stream is named by its id alone: how much of it comes first is chance.
    prefix: source.bytesTotal === undefined ? new Uint8Array() : Uint8Array.from(source.head),
    importId: options.importId,
    restart: options.restart,
  });
  const owners = createCountOwners(options.prefix);
  const known: string[] = [];
  if (position.sequence > 0) {
    for await (const { value, countId } of target.assignments(position.importId)) {
      owners.restore(value, countId);
      known.push(value);
    }
  }
  const result = resultAt(position, format);
  deps.onStart(result, options.format === undefined);

  const tail = createTail(tailStart(position.offset));
  const send = createSend(position, result, { owners, tail }, deps);
  const planner = createPlanner({ offset: position.offset, lines: position.lines, extractor, known });
  let offsetRead = position.offset;
  try {
    for await (const chunk of withPauses(readOn(source, position, tail), deps)) {
      if (signal.aborted) break;
      if (chunk === "pause") {
        const batch = planner.flush();
        if (batch !== undefined) await send(batch);
        continue;
      }
      offsetRead += chunk.length;
      for (const batch of planner.push(chunk)) {
        await send(batch);
        if (signal.aborted) break;
      }
    }
  } catch (error) {
    if (!(error instanceof SourceError) || error instanceof OtherSourceError) throw error;
    result.end = { broken: error.message };
    // Only of a stream, as a file was verified: what was not sent yet may be wrong.
    if (error instanceof DamagedSourceError) return result;
  }
  result.warnings = source.warnings();
  if (signal.aborted) {
    result.end = "interrupted";
    return result;
  }
  if (endIsFinal && result.end === "finished") {
    for (const batch of planner.finish()) await send(batch);
  } else {
    const batch = planner.flush();
    if (batch !== undefined) await send(batch);
    if (result.end === "finished" && offsetRead > result.offset) {
      result.end = holdsCr(planner.rest()) ? { broken: crInRest } : "unterminated";
    }
  }
  return result;
}

/** The format that the content shows. Throws `ImportOptionsError` when it shows none. */
function formatOf({ head, headIsAll, name }: Source): Format {
  const format = detectFormat(decodeText(head).replace(/^\uFEFF/, ""));
  if (format !== undefined) return format;
  const say = "say --format access, json, csv or tsv";
  if (head.length === 0) throw new ImportOptionsError(`${name} is empty: there is nothing to count yet`);
  throw new ImportOptionsError(
    headIsAll || head.includes(0x0a)
      ? `${name} does not show its format: ${say}`
      : `the first line of ${name} has no end within 64 KiB, so that it does not show its format: ${say}`,
  );
}

/** The result of a run that has counted nothing yet. */
function resultAt({ importId, offset }: ImportPosition, format: Format): ImportResult {
  return {
    importId,
    format,
    offsetStart: offset,
    offset,
    lines: 0,
    counted: 0,
    badCount: 0,
    bad: [],
    refused: [],
    writes: new Map(),
    end: "finished",
    warnings: [],
  };
}

/** Applies the batches that follow a position, one after the other, and adds each to the result. */
function createSend(
  { importId, sequence: sequenceStart }: ImportPosition,
  result: ImportResult,
  { owners, tail }: { readonly owners: CountOwners; readonly tail: Tail },
  { target, onBatch }: ImportDeps,
): (batch: Batch) => Promise<void> {
  let sequence = sequenceStart;
  const claim = target.claim(importId);
  const ownerOf = (value: string): string => {
    const countId = owners.idOf(value);
    if (countId === undefined) throw new Error(`the value ${JSON.stringify(value)} has no Count`);
    return countId;
  };
  return async (batch) => {
    await owners.assign(batch.newValues, claim);
    const writes = new Map<string, number>();
    for (const [value, lines] of batch.values) {
      const countId = ownerOf(value);
      writes.set(countId, (writes.get(countId) ?? 0) + lines);
    }
    const refused = await target.apply(importId, sequence + 1, {
      offsetEnd: batch.offsetEnd,
      lines: batch.lines,
      writes,
      assignments: batch.newValues.map((value) => ({ value, countId: ownerOf(value) })),
      tailHash: tail.hashAt(batch.offsetEnd),
    });
    sequence++;
    result.offset = batch.offsetEnd;
    result.lines += batch.lines;
    result.counted += batch.counted;
    result.badCount += batch.badCount;
    result.bad.push(...batch.bad.slice(0, badLinesShownMax - result.bad.length));
    for (const [countId, delta] of writes) result.writes.set(countId, (result.writes.get(countId) ?? 0) + delta);
    for (const refusal of refused) {
      result.refused.push(refusal);
      result.counted -= refusal.lines;
      result.writes.set(refusal.countId, (result.writes.get(refusal.countId) ?? 0) - refusal.lines);
    }
    onBatch(result, batch);
  };
}

/** The chunks of a source, and a "pause" whenever none comes for a while. Ends early when the signal is aborted. */
async function* withPauses(
  input: AsyncGenerator<Uint8Array, void, void>,
  { clock, signal }: ImportDeps,
): AsyncGenerator<Uint8Array | "pause", void, void> {
  let next = input.next();
  while (!signal.aborted) {
    const waiting = new AbortController();
    const first = await Promise.race([
      next,
      clock.sleep(idleMs, AbortSignal.any([signal, waiting.signal])).then(
        () => "pause" as const,
        () => "pause" as const, // Aborted: the loop's condition tells.
      ),
    ]);
    if (first === "pause") {
      if (!signal.aborted) yield "pause";
      continue;
    }
    waiting.abort();
    if (first.done === true) return;
    yield first.value;
    next = input.next();
  }
}
