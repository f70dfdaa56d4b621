import { InvalidArgumentError } from "commander";
import { isOnCalendar } from "../../../../internal/platform/clock/calendar.ts";

/** The moment that a command asks about. */
export const atOption = {
  value: "time",
  help: "at another moment than now, such as 2026-12-25T03:00+09:00",
  parse: momentOf,
} as const;

function momentOf(text: string): Date {
  const isMoment = /^\d{4}-\d{2}-\d{2}T[\d:.]+(?:Z|[+-]\d{2}:?\d{2})$/.test(text) && isOnCalendar(text);
  const moment = new Date(isMoment ? text : Number.NaN);
  if (!Number.isNaN(moment.getTime())) return moment;
  throw new InvalidArgumentError("Write a moment with its offset, such as 2026-12-25T03:00+09:00.");
}
