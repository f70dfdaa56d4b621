import { type AccessLogField, accessLogFields, parseAccessLog } from "./access-log.ts";
import { fieldSeparator, keptValue } from "./count-id.ts";
import { type Delimiter, quoteOpenAfter, splitFields, strayReturn } from "./delimited.ts";
import type { Format } from "./format.ts";
import { atJsonPath, parseJsonPath } from "./json-path.ts";
import { createRecordSplitter, type QuoteScanner } from "./records.ts";

/** What a record counts: a value, nothing because it is blank, or nothing because it is bad, with the reason in a sentence. */
export type Extracted = string | undefined | { readonly bad: string };

/** Reads records of one format and takes from each what it counts. */
export interface Extractor {
  /** How records are told apart; absent when each line is one. */
  readonly scanQuotes?: QuoteScanner;
  /** Records that end here or before are not counted: the header. 0 without one. */
  readonly headerEnd: number;
  extract(record: string): Extracted;
}

/** What decides what is counted. */
export interface ExtractorOptions {
  readonly format: Format;
  /** Fields whose values together are counted: at least one name, column number from 1, or JSON path. */
  readonly by: readonly string[];
  /** Whether a table's first record names its columns. */
  readonly header: boolean;
  /** The file's first bytes. */
  readonly head: Uint8Array;
  /** Whether `head` is all of the file and its last line counts without an end. */
  readonly headIsAll: boolean;
}

/** Thrown when the options do not fit the file; the message says what would be right. */
export class ImportOptionsError extends Error {
  override readonly name = "ImportOptionsError";
}

/** Makes the extractor for a format. */
export function createExtractor(options: ExtractorOptions): Extractor {
  switch (options.format) {
    case "access":
      return accessExtractor(options.by);
    case "json":
      return jsonExtractor(options.by);
    case "csv":
      return tableExtractor(options, ",");
    case "tsv":
      return tableExtractor(options, "\t");
  }
}

function accessExtractor(by: readonly string[]): Extractor {
  const fields = by.map((name): AccessLogField => {
    const field = accessLogFields.find((known) => known === name);
    if (field === undefined) {
      throw new ImportOptionsError(`an access log has no field "${name}"; it has ${accessLogFields.join(", ")}`);
    }
    return field;
  });
  return {
    headerEnd: 0,
    extract: (record) => {
      if (record.trim() === "") return undefined;
      if (record.includes("\r")) return { bad: strayReturn };
      const entry = parseAccessLog(record);
      if (entry === undefined) return { bad: "not a line of an access log" };
      return valueOf(fields.map((field) => entry[field]));
    },
  };
}

function jsonExtractor(by: readonly string[]): Extractor {
  const paths = by.map((text) => {
    const path = parseJsonPath(text);
    if (path === undefined) {
      throw new ImportOptionsError(`"${text}" is not a JSON path; write it like status, user.name or items[0].id`);
    }
    return { text, path };
  });
  return {
    headerEnd: 0,
    extract: (record) => {
      if (record.trim() === "") return undefined;
      if (!record.isWellFormed()) return { bad: "not JSON: it is not UTF-8" };
      let json: unknown;
      try {
        json = JSON.parse(record, exactNumber);
      } catch {
        return { bad: "not JSON" };
      }
      const values: string[] = [];
      for (const { text, path } of paths) {
        const part = atJsonPath(json, path);
        if (part === undefined) return { bad: `no value at "${text}"` };
        const value = plainText(part);
        if (value === undefined) return { bad: `the value at "${text}" is a list or an object` };
        values.push(value);
      }
      return valueOf(values);
    },
  };
}

/** A plain JSON value as text, null as an empty one; `undefined` for a list or an object. */
function plainText(value: unknown): string | undefined {
  if (typeof value === "string") return value;
  if (typeof value === "number" || typeof value === "boolean") return String(value);
  return value === null ? "" : undefined;
}

/** Numbers that a double cannot hold keep their digits, so that two of them never become one. */
function exactNumber(_key: string, value: unknown, context?: { readonly source?: string }): unknown {
  if (typeof value !== "number" || Number.isSafeInteger(value)) return value;
  return /^-?\d+$/.test(context?.source ?? "") ? context?.source : value;
}

function tableExtractor(options: ExtractorOptions, delimiter: Delimiter): Extractor {
  const scanQuotes: QuoteScanner = (line, open) => quoteOpenAfter(line, open, delimiter);
  const header = options.header ? readHeader(options, delimiter, scanQuotes) : undefined;
  const columns = options.by.map((name) => columnOf(name, header?.columns));
  return {
    scanQuotes,
    headerEnd: header?.end ?? 0,
    extract: (record) => {
      if (record.trim() === "") return undefined;
      const fields = splitFields(record, delimiter);
      if ("bad" in fields) return fields;
      const values: string[] = [];
      for (const column of columns) {
        const field = fields[column];
        if (field === undefined) {
          return { bad: `it has ${fields.length} column${fields.length === 1 ? "" : "s"}, not ${column + 1}` };
        }
        values.push(field);
      }
      return valueOf(values);
    },
  };
}

/** Index of a column given by its number from 1 or its name. */
function columnOf(name: string, header: readonly string[] | undefined): number {
  if (/^[1-9]\d{0,5}$/.test(name)) return Number(name) - 1;
  if (header === undefined) {
    throw new ImportOptionsError(`"${name}" is not a column number, and without a header columns have no names`);
  }
  const column = header.indexOf(name);
  if (column === -1) {
    throw new ImportOptionsError(
      `there is no column "${name}"; there are ${header.map((known) => JSON.stringify(known)).join(", ")}`,
    );
  }
  return column;
}

function readHeader(
  { head, headIsAll }: ExtractorOptions,
  delimiter: Delimiter,
  scanQuotes: QuoteScanner,
): { readonly columns: readonly string[]; readonly end: number } {
  const splitter = createRecordSplitter(0, scanQuotes);
  const records = [...splitter.push(head), ...(headIsAll ? splitter.finish() : [])];
  const record = records.find(({ text }) => text === undefined || text.trim() !== "");
  if (record?.text === undefined) {
    throw new ImportOptionsError("the line with the column names has no end within the first 64 KiB; is it a table?");
  }
  const columns = splitFields(record.text.replace(/^\uFEFF/, ""), delimiter);
  if ("bad" in columns) throw new ImportOptionsError(`the line with the column names cannot be read: ${columns.bad}`);
  return { columns, end: record.end };
}

function valueOf(values: readonly string[]): Extracted {
  for (const value of values) {
    if (!value.isWellFormed()) return { bad: "its value is not UTF-8 text" };
    if (value.includes("\0")) return { bad: "its value holds a NUL character" };
    if (value.includes(fieldSeparator)) return { bad: "its value holds the control character U+001F" };
  }
  return keptValue(values.join(fieldSeparator));
}
