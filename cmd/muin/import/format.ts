import { parseAccessLog } from "./access-log.ts";

/** Formats that an import can read. "access" is both the common and the combined access log. */
export const formats = ["access", "json", "csv", "tsv"] as const;

/** A format that an import can read. */
export type Format = (typeof formats)[number];

/** Lines that the detection looks at. */
const detectionLinesMax = 20;

/**
 * The format of a file that begins with `head`, or `undefined` when it shows none: the first line that reads as a JSON object or
 * as an access log decides; else a tab or a comma in the first line. An incomplete last line does not take part unless it is all.
 */
export function detectFormat(head: string): Format | undefined {
  const all = head.split("\n");
  const complete = all.length > 1 ? all.slice(0, -1) : all;
  const lines = complete.filter((line) => line.trim() !== "").slice(0, detectionLinesMax);
  for (const line of lines) {
    if (isJsonObject(line)) return "json";
    if (parseAccessLog(line) !== undefined) return "access";
  }
  const first = lines[0] ?? "";
  return first.includes("\t") ? "tsv" : first.includes(",") ? "csv" : undefined;
}

function isJsonObject(line: string): boolean {
  if (!line.trimStart().startsWith("{")) return false;
  try {
    return typeof JSON.parse(line) === "object";
  } catch {
    return false; // Not JSON: some other format may fit.
  }
}
