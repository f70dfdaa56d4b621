import type { Clock } from "../../../internal/platform/clock/clock.ts";
import type { Output } from "../terminal/output.ts";
import type { ImportResult } from "./run-import.ts";
import type { Source } from "./source.ts";

/** Shows how far an import is. */
export interface Progress {
  /** Takes note of where it is; shows it when enough time has passed. */
  update(result: Pick<ImportResult, "lines" | "badCount" | "offset" | "offsetStart">): void;
  /** Removes what is shown on a terminal. */
  end(): void;
}

/** Least time between two showings, in milliseconds: of a bar on a terminal, of lines in a log. */
const everyMs = { terminal: 100, lines: 5000 };

/** Width of the bar in characters. */
const barWidth = 16;

/** A bar on a terminal, with rate and remaining time; lines now and then elsewhere. */
export function createProgress(output: Output, clock: Clock, source: Source): Progress {
  const start = clock.monotonic();
  let shown = output.terminal ? -Infinity : start;
  return {
    update: (result) => {
      const now = clock.monotonic();
      if (now - shown < (output.terminal ? everyMs.terminal : everyMs.lines)) return;
      shown = now;
      const text = progressText(result, source, (now - start) / 1000, output.terminal);
      if (output.terminal) output.progress(text.slice(0, output.columns - 1));
      else output.note(text);
    },
    end: () => output.progress(""),
  };
}

/** What is shown after `seconds` of work. */
export function progressText(
  result: Pick<ImportResult, "lines" | "badCount" | "offset" | "offsetStart">,
  source: Pick<Source, "bytesTotal" | "bytesRead" | "compressed">,
  seconds: number,
  bar: boolean,
): string {
  const rate = seconds > 0 ? result.lines / seconds : 0;
  const parts = [`${grouped(result.lines)} lines`, `${grouped(Math.round(rate))}/s`];
  if (result.badCount > 0) parts.push(`${grouped(result.badCount)} bad`);
  if (source.bytesTotal !== undefined && source.bytesTotal > 0) {
    // A compressed file is always read from its beginning; of a plain one only what was not counted before is read.
    const done = source.compressed ? source.bytesRead() : result.offset;
    const before = source.compressed ? 0 : result.offsetStart;
    const fraction = Math.min(1, done / source.bytesTotal);
    const left = done > before ? ((source.bytesTotal - done) / (done - before)) * seconds : undefined;
    if (left !== undefined) parts.push(`${clockTime(left)} left`);
    const percent = `${Math.floor(fraction * 100)} %`.padStart(5);
    const full = Math.round(fraction * barWidth);
    parts.unshift(bar ? `[${"#".repeat(full)}${"-".repeat(barWidth - full)}] ${percent}` : percent.trim());
  }
  return parts.join("  ");
}

/** A number with its thousands apart. */
export function grouped(value: number): string {
  return String(value).replaceAll(/\B(?=(\d{3})+$)/g, " ");
}

function two(value: number): string {
  return String(value).padStart(2, "0");
}

function clockTime(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  const minutes = Math.floor(whole / 60);
  return minutes < 60
    ? `${minutes}:${two(whole % 60)}`
    : `${Math.floor(minutes / 60)}:${two(minutes % 60)}:${two(whole % 60)}`;
}
