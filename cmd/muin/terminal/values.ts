import { InvalidArgumentError } from "commander";
import { isOnCalendar } from "../../../internal/platform/clock/calendar.ts";

/** Reads a whole number from an argument. */
export function wholeNumber(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = /^[+-]?\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
    if (value >= min && value <= max) return value;
    throw new InvalidArgumentError(`Give a whole number from ${min} to ${max}.`);
  };
}

const unitMs: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** Reads a length of time such as 500ms, 90s, 15m, 12h or 30d, in milliseconds. */
export function durationMs(text: string): number {
  const match = /^(\d{1,9})(ms|[smhd])$/.exec(text);
  const unit = unitMs[match?.[2] ?? ""];
  if (match === null || unit === undefined) {
    throw new InvalidArgumentError("Give a length of time such as 500ms, 90s, 15m, 12h or 30d.");
  }
  return Number(match[1]) * unit;
}

/** The keys of a record of words, for `choices`. */
export function namesOf<T extends object>(words: T): readonly (keyof T & string)[] {
  return Object.keys(words) as (keyof T & string)[];
}

/** Reads a date (midnight UTC) or a time with its offset, in milliseconds since the Unix epoch. */
export function momentMs(text: string): number {
  const isMoment = /^\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}(:\d{2}(\.\d{1,3})?)?(Z|[+-]\d{2}:\d{2}))?$/.test(text);
  const ms = isMoment && isOnCalendar(text) ? Date.parse(text) : Number.NaN;
  if (!Number.isNaN(ms)) return ms;
  throw new InvalidArgumentError(
    "Give a date such as 2026-12-01, or a time with its offset such as 2026-12-01T09:00:00+09:00.",
  );
}
