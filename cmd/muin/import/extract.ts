import { accessLogFields, parseAccessLog, parseVhostLog, vhostLogFields } from "./access-log.ts";
import { fieldSeparator, keptValue } from "./count-id.ts";
import {
  type Delimiter,
  guessDelimiter,
  namedDelimiter,
  quoteOpenAfter,
  splitFields,
  splitTsv,
  strayReturn,
} from "./delimited.ts";
import { type Format, wholeJson } from "./format.ts";
import { exactNumber } from "./json-number.ts";
import { atJsonPath, parseJsonPath } from "./json-path.ts";
import { decodeText } from "./lines.ts";
import { createRecordSplitter, type QuoteScanner } from "./records.ts";
import { headBytesMax } from "./source.ts";

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
      return accessExtractor(options.by, { name: "an access log", known: accessLogFields, parse: parseAccessLog });
    case "vhost_combined":
      return accessExtractor(options.by, {
        name: "an access log with virtual hosts",
        known: vhostLogFields,
        parse: parseVhostLog,
      });
    case "json":
      return jsonExtractor(options);
    case "csv":
    case "tsv":
      return tableExtractor(options);
  }
}

/** A kind of access log: its name with an article, its fields, and what reads a line. */
interface LogKind<F extends string> {
  readonly name: string;
  readonly known: readonly F[];
  readonly parse: (line: string) => Readonly<Record<F, string>> | undefined;
}

function accessExtractor<F extends string>(by: readonly string[], { name, known, parse }: LogKind<F>): Extractor {
  const fields = by.map((each): F => {
    const field = known.find((one) => one === each);
    if (field === undefined) throw new ImportOptionsError(`${name} has no field "${each}"; it has ${known.join(", ")}`);
    return field;
  });
  return {
    headerEnd: 0,
    extract: (record) => {
      if (record.trim() === "") return undefined;
      if (record.includes("\r")) return { bad: strayReturn };
      const entry = parse(record);
      if (entry === undefined) return { bad: `not a line of ${name}` };
      return valueOf(fields.map((field) => entry[field]));
    },
  };
}

/** What to do about JSON that is not a value on each line. */
const asLines = {
  array: "it is one JSON array and not a value on each line; make lines of it first, such as with jq -c '.[]'",
  "several lines": "its JSON values go over several lines; put each on a line of its own first, such as with jq -c .",
} as const;

function jsonExtractor({ by, head }: ExtractorOptions): Extractor {
  const whole = wholeJson(decodeText(head).replace(/^\uFEFF/, ""));
  if (whole !== undefined) throw new ImportOptionsError(asLines[whole]);
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

function tableExtractor(options: ExtractorOptions): Extractor {
  const { delimiter, scanQuotes, split, header, start } = openTable(options);
  const columns = options.by.map((name) => columnOf(name, header));
  return {
    ...(scanQuotes === undefined ? {} : { scanQuotes }),
    headerEnd: start,
    extract: (record) => {
      if (isBlank(record, delimiter)) return undefined;
      const fields = split(record);
      if ("bad" in fields) return fields;
      const width = header?.length ?? fields.length;
      if (fields.slice(width).some((field) => field !== "")) {
        return { bad: `it has ${fields.length} columns, and the header names ${width}` };
      }
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

/** How a table is read. */
interface Dialect {
  readonly delimiter: Delimiter;
  /** Absent: no field goes over several lines. */
  readonly scanQuotes?: QuoteScanner;
  readonly split: (record: string) => ReturnType<typeof splitFields>;
}

/** A table whose columns are known. */
interface Table extends Dialect {
  /** `undefined`: the columns have no names. */
  readonly header: readonly string[] | undefined;
  /** Offset of the first byte of its data. */
  readonly start: number;
}

function dialectOf(format: Format, delimiter: Delimiter): Dialect {
  if (format === "tsv") return { delimiter, split: splitTsv };
  return {
    delimiter,
    scanQuotes: (line, open) => quoteOpenAfter(line, open, delimiter),
    split: (record) => splitFields(record, delimiter),
  };
}

/**
 * Finds out what separates the columns, and their names: what a line "sep=…" says; else for TSV a tab; else comma or semicolon, that by
 * which the columns have the names that are asked for, or that which the first line shows.
 */
function openTable(options: ExtractorOptions): Table {
  const text = decodeText(options.head);
  const named = namedDelimiter(text);
  const start = named?.bytes ?? 0;
  const tableOf = (delimiter: Delimiter): Table => {
    const dialect = dialectOf(delimiter === "\t" ? options.format : "csv", delimiter);
    if (!options.header) return { ...dialect, header: undefined, start };
    const { columns, end } = readHeader(options, dialect, start);
    return { ...dialect, header: columns, start: end };
  };
  if (named !== undefined) return tableOf(named.delimiter);
  if (options.format === "tsv") return tableOf("\t");
  const firstLine =
    text
      .replace(/^\uFEFF/, "")
      .trimStart()
      .split(/\r?\n/, 1)[0] ?? "";
  const names = options.header ? options.by.filter((name) => !isColumnNumber(name)) : [];
  const hasNames = (delimiter: Delimiter): boolean => {
    const columns = splitFields(firstLine, delimiter);
    return !("bad" in columns) && names.every((name) => columns.some((each) => each.trim() === name));
  };
  const guessed = guessDelimiter(firstLine);
  const other = guessed === "," ? ";" : ",";
  return tableOf(!hasNames(guessed) && hasNames(other) ? other : guessed);
}

/** Whether a record is an empty line. One of delimiters alone is a row whose fields are empty. */
function isBlank(record: string, delimiter: Delimiter): boolean {
  return record.trim() === "" && !record.includes(delimiter);
}

function isColumnNumber(name: string): boolean {
  return /^[1-9]\d{0,5}$/.test(name);
}

/** Index of a column given by its number from 1 or its name; spaces around the name in the header do not count. */
function columnOf(name: string, header: readonly string[] | undefined): number {
  if (isColumnNumber(name)) return Number(name) - 1;
  if (header === undefined) {
    throw new ImportOptionsError(`"${name}" is not a column number, and without a header columns have no names`);
  }
  const exact = header.includes(name);
  const found = header.flatMap((known, index) => ((exact ? known : known.trim()) === name ? [index] : []));
  const [column, second] = found;
  if (column === undefined) {
    throw new ImportOptionsError(
      `there is no column "${name}"; there are ${header.map((known) => JSON.stringify(known)).join(", ")}`,
    );
  }
  if (second !== undefined) {
    const numbers = found.map((index) => index + 1).join(" and ");
    throw new ImportOptionsError(`several columns are named "${name}"; say which by its number: ${numbers}`);
  }
  return column;
}

function readHeader(
  { head, headIsAll }: ExtractorOptions,
  { delimiter, scanQuotes, split }: Dialect,
  start: number,
): { readonly columns: readonly string[]; readonly end: number } {
  const splitter = createRecordSplitter(start, scanQuotes);
  const records = [...splitter.push(head.subarray(start)), ...(headIsAll ? splitter.finish() : [])];
  const record = records.find(({ text }) => text === undefined || !isBlank(text, delimiter));
  if (record === undefined && records.length > 0) {
    throw new ImportOptionsError("there is no line with column names yet: its first lines are empty");
  }
  if (record?.text === undefined) {
    throw new ImportOptionsError(
      head.length < headBytesMax
        ? "the line with the column names has no end yet; --final takes it as it is"
        : "the line with the column names has no end within the first 64 KiB; is it a table?",
    );
  }
  const columns = split(record.text);
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
