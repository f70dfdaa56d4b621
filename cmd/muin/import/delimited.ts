import { CsvError, parse } from "csv-parse/sync";

/** What separates the fields of a table: one character. */
export type Delimiter = string;

/**
 * Whether a quoted field (RFC 4180) is open at the end of `line`. A quote opens a field only at its beginning; within one, two
 * quotes stand for one.
 */
export function quoteOpenAfter(line: string, open: boolean, delimiter: Delimiter): boolean {
  let at = 0;
  if (!open && !line.includes('"')) return false;
  let quoted = open;
  for (;;) {
    if (quoted) {
      at = line.indexOf('"', at);
      if (at === -1) return true;
      if (line[at + 1] === '"') {
        at += 2;
        continue;
      }
      quoted = false;
    } else if (line[at] === '"') {
      quoted = true;
      at++;
      continue;
    }
    at = line.indexOf(delimiter, at);
    if (at === -1) return false;
    at++;
  }
}

/** What is wrong with a CR in the middle of a line. */
export const strayReturn = "a carriage return (CR) stands within it: lines end in LF or CR LF";

/** A field of a TSV line: quoted when a quote begins it and another ends it, else as it is. */
const tsvField = /"((?:[^"]|"")*)"(?=\t|$)|[^\t]*/y;

/**
 * The fields of a line of tab-separated values. Quotes mean nothing in them (https://www.iana.org/assignments/media-types/text/tab-separated-values),
 * yet spreadsheets put them around a whole field; no field goes over several lines.
 */
export function splitTsv(line: string): readonly string[] | { readonly bad: string } {
  if (line.includes("\r")) return { bad: strayReturn };
  if (!line.includes('"')) return line.split("\t");
  const fields: string[] = [];
  for (let at = 0; at <= line.length; at = tsvField.lastIndex + 1) {
    tsvField.lastIndex = at;
    const [field = "", quoted] = tsvField.exec(line) ?? [];
    fields.push(quoted === undefined ? field : quoted.replaceAll('""', '"'));
  }
  return fields;
}

/** A first line that names the separator, as spreadsheets write and read it: in either case, in quotes or not. */
const separatorLine = /^\uFEFF?("?)sep=([^"\r\n])\1\r?(?:\n|$)/i;

/** The separator that the first line names, and how long that line is in bytes; `undefined` when it names none. */
export function namedDelimiter(head: string): { readonly delimiter: Delimiter; readonly bytes: number } | undefined {
  const match = separatorLine.exec(head);
  return match === null ? undefined : { delimiter: match[2] ?? ",", bytes: Buffer.byteLength(match[0]) };
}

/**
 * Whether commas or semicolons separate the fields of a CSV, by its first line: semicolons where it has as many of them as commas,
 * without those of decimals ("1,50") and of sentences (before a space).
 */
export function guessDelimiter(firstLine: string): "," | ";" {
  const cells = firstLine.replaceAll(/"(?:[^"]|"")*"?/g, "").split(";");
  const commas = cells.map((cell) => (/^\s*[+-]?[\d.]+,\d+\s*$/.test(cell) ? 0 : (cell.match(/,(?! )/g) ?? []).length));
  const semicolons = cells.length - 1;
  return semicolons > 0 && semicolons >= commas.reduce((sum, count) => sum + count, 0) ? ";" : ",";
}

/** The fields of one record, or in a sentence why it is not one. A line break within it is within a quoted field. */
export function splitFields(record: string, delimiter: Delimiter): readonly string[] | { readonly bad: string } {
  if (record.includes("\r") && record.replaceAll(/"(?:[^"]|"")*"/g, "").includes("\r")) return { bad: strayReturn };
  if (!record.includes('"')) return record.split(delimiter);
  try {
    const rows = parse(record, { delimiter, relax_column_count: true, record_delimiter: "\n" });
    return rows[0] ?? [];
  } catch (error) {
    if (!(error instanceof CsvError)) throw error;
    return { bad: quoteFaults[error.code] ?? "its quotes do not match" };
  }
}

const quoteFaults: Readonly<Partial<Record<CsvError["code"], string>>> = {
  INVALID_OPENING_QUOTE: "a quote stands inside a field that does not begin with one",
  CSV_INVALID_CLOSING_QUOTE: "text follows a closing quote",
  CSV_QUOTE_NOT_CLOSED: "a quote is never closed",
};
