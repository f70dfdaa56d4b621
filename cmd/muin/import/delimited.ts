import { CsvError, parse } from "csv-parse/sync";

/** What separates the fields of a table. */
export type Delimiter = "," | "\t";

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
