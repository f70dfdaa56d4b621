import { detectFormat } from "../import/format.ts";
import { guessDelimiter, splitFields, splitTsv } from "../import/delimited.ts";
import { createLineSplitter, decodeText, type Line } from "../import/lines.ts";
import type { Source } from "../import/source.ts";
import { Failure } from "../terminal/failure.ts";

/** A line of a file that says something: its fields by name, those of one name in their order; or in a sentence what is wrong with it. */
export interface FieldLine {
  /** From 1. */
  readonly line: number;
  /** Offset of the first byte after it. */
  readonly end: number;
  readonly fields: ReadonlyMap<string, readonly string[]> | { readonly bad: string };
}

/**
 * The lines of JSON objects, or of a table whose first line names its columns, separated by commas, semicolons or tabs; empty lines are left
 * out. Fields of a JSON object are texts, numbers or lists of them. Throws a usage failure for what is neither.
 */
export async function* readFieldLines(source: Source): AsyncGenerator<FieldLine, void, void> {
  const head = decodeText(source.head).replace(/^\uFEFF/, "");
  const format = head.trimStart().startsWith("{") ? "json" : detectFormat(head);
  if (format !== "json" && format !== "csv" && format !== "tsv") {
    throw new Failure("usage", `${source.name} is no lines of JSON, and no table with a line of column names`);
  }
  let parse: ((text: string) => FieldLine["fields"]) | undefined = format === "json" ? jsonFields : undefined;
  let count = 0;
  for await (const { text, end } of linesOf(source)) {
    count += 1;
    const line = text !== undefined && count === 1 ? text.replace(/^\uFEFF/, "") : text;
    if (line?.trim() === "") continue;
    if (line === undefined) yield { line: count, end, fields: { bad: "it is too long" } };
    else if (parse === undefined) parse = tableFields(line, format === "tsv");
    else yield { line: count, end, fields: line.isWellFormed() ? parse(line) : { bad: "it is not UTF-8" } };
  }
}

async function* linesOf(source: Source): AsyncGenerator<Line, void, void> {
  const splitter = createLineSplitter(0);
  for await (const chunk of source.read(0)) yield* splitter.push(chunk);
  const last = splitter.rest();
  if (last !== undefined) yield last;
}

function jsonFields(text: string): FieldLine["fields"] {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    return { bad: "it is not JSON" };
  }
  if (typeof json !== "object" || json === null || Array.isArray(json)) return { bad: "it is no JSON object" };
  const fields = new Map<string, readonly string[]>();
  for (const [name, value] of Object.entries(json)) {
    const values: readonly unknown[] = Array.isArray(value) ? value : [value];
    const texts = values.filter((each) => typeof each === "string" || typeof each === "number").map(String);
    if (texts.length === values.length) fields.set(name, texts);
  }
  return fields;
}

/** Reads the line of column names; the rest follows it. */
function tableFields(header: string, tabs: boolean): (text: string) => FieldLine["fields"] {
  const delimiter = tabs ? "\t" : guessDelimiter(header);
  const split = (text: string): ReturnType<typeof splitFields> =>
    tabs ? splitTsv(text) : splitFields(text, delimiter);
  const names = split(header);
  if ("bad" in names) throw new Failure("usage", `the line with the column names cannot be read: ${names.bad}`);
  return (text) => {
    const values = split(text);
    if ("bad" in values) return values;
    if (values.length > names.length)
      return { bad: `it has ${values.length} columns, and the first line names ${names.length}` };
    const fields = new Map<string, readonly string[]>();
    values.forEach((value, index) => {
      const name = (names[index] ?? "").trim();
      if (value !== "") fields.set(name, [...(fields.get(name) ?? []), value.trim()]);
    });
    return fields;
  };
}
