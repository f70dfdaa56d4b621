import { parseAccessLog, parseVhostLog } from "./access-log.ts";
import { namedDelimiter } from "./delimited.ts";

/** Formats that an import can read. "access" is both the common and the combined access log; "vhost_combined" either behind a virtual host. */
export const formats = ["access", "vhost_combined", "json", "csv", "tsv"] as const;

/** A format that an import can read. */
export type Format = (typeof formats)[number];

/** Lines that the detection looks at. */
const detectionLinesMax = 20;

/**
 * The format of a file that begins with `head`, or `undefined` when it shows none: the first line that reads as a JSON object or
 * as an access log decides; else JSON that is no lines, which is to be refused by name; else a tab, a comma or a semicolon in the first
 * line, or a first line that names another separator. An incomplete last line does not take part unless it is all.
 */
export function detectFormat(head: string): Format | undefined {
  if (wholeJson(head) !== undefined) return "json";
  const lines = firstLines(head);
  for (const line of lines) {
    if (line.trimStart().startsWith("{") && isJson(line)) return "json";
    if (parseAccessLog(line) !== undefined) return "access";
    if (parseVhostLog(line) !== undefined) return "vhost_combined";
  }
  const first = lines[0] ?? "";
  if (/^\s*(?:\{|\[\s*["{[])/.test(first)) return undefined; // JSON whose first line goes on behind the head.
  if (first.includes("\t")) return "tsv";
  return /[,;]/.test(first) || namedDelimiter(head) !== undefined ? "csv" : undefined;
}

/** Whether a file that begins with `head` is JSON other than a value on each line: an array, or values that go over several lines. */
export function wholeJson(head: string): "array" | "several lines" | undefined {
  const lines = firstLines(head);
  const [first = ""] = lines;
  if (/^\s*\[\s*(?:["{[]|$)/.test(first) && !isJson(first)) return "array";
  if (/^\s*\{\s*$/.test(first)) return "several lines";
  const isBegun = /^\s*\{\s*"/.test(first) && lines.length > 1;
  return isBegun && !lines.some((line) => isJson(line)) ? "several lines" : undefined;
}

/** The first lines that are not blank. */
function firstLines(head: string): readonly string[] {
  const all = head.split("\n");
  const complete = all.length > 1 ? all.slice(0, -1) : all;
  return complete.filter((line) => line.trim() !== "").slice(0, detectionLinesMax);
}

function isJson(line: string): boolean {
  try {
    JSON.parse(line);
    return true;
  } catch {
    return false; // Some other format may fit.
  }
}
