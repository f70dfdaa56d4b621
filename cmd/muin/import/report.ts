import type { Output } from "../terminal/output.ts";
import { grouped } from "./progress.ts";
import type { ImportResult } from "./run-import.ts";

/** Counts shown after an import, those with most lines first. */
const countsShownMax = 20;

/** What an import came to, and of what. */
export interface ImportReport {
  readonly file: string;
  readonly dryRun: boolean;
  readonly result: ImportResult;
  readonly seconds: number;
}

/** A report for a program. */
export function reportAsJson({ file, dryRun, result, seconds }: ImportReport): unknown {
  return {
    file,
    import_id: result.importId,
    dry_run: dryRun,
    format: result.format,
    end: typeof result.end === "string" ? result.end : "broken",
    offset_start: result.offsetStart,
    offset: result.offset,
    lines: result.lines,
    counted: result.counted,
    bad_lines: result.badCount,
    bad: result.bad,
    refused: result.refused.map(({ countId, lines, reason }) => ({ count_id: countId, lines, reason })),
    counts: Object.fromEntries(result.writes),
    warnings: result.warnings,
    seconds: Number(seconds.toFixed(3)),
  };
}

/** Prints a report for people. */
export function printReport({ dryRun, result, seconds }: ImportReport, output: Output): void {
  const { writes, bad, badCount, counted, lines } = result;
  if (lines === 0) {
    output.print(result.offsetStart > 0 ? "nothing new: all lines were counted before" : "nothing to count yet");
  } else {
    const rate = seconds > 0 ? `, ${grouped(Math.round(lines / seconds))} lines a second` : "";
    const verb = dryRun ? "would count" : "counted";
    output.print(
      `${verb} ${grouped(counted)} of ${grouped(lines)} lines into ${grouped(writes.size)} ${writes.size === 1 ? "Count" : "Counts"} in ${seconds.toFixed(1)} s${rate}`,
    );
  }
  if (result.end === "unterminated") output.print("the last line has no end yet and waits; --final counts it");
  if (badCount > 0) {
    output.print(`${grouped(badCount)} bad ${badCount === 1 ? "line" : "lines"}:`);
    for (const { line, why, text } of bad)
      output.print(`  line ${line}: ${why}${text === "" ? "" : `: ${JSON.stringify(text)}`}`);
    if (badCount > bad.length) output.print(`  and ${grouped(badCount - bad.length)} more`);
  }
  if (writes.size === 0) return;
  const rows = [...writes].toSorted(([a, x], [b, y]) => y - x || (a < b ? -1 : 1)).slice(0, countsShownMax);
  output.table(
    [dryRun ? "LINES" : "ADDED", "COUNT"],
    rows.map(([countId, delta]) => [String(delta), countId]),
  );
  if (writes.size > rows.length) output.print(`and ${grouped(writes.size - rows.length)} more`);
}
