import { InvalidArgumentError } from "commander";

/** The moment that a command asks about. */
export const atOption = {
  value: "time",
  help: "at another moment than now, such as 2026-12-25T03:00+09:00",
  parse: momentOf,
} as const;

function momentOf(text: string): Date {
  const moment = new Date(/^\d{4}-\d{2}-\d{2}T[\d:.]+(?:Z|[+-]\d{2}:?\d{2})$/.test(text) ? text : Number.NaN);
  if (!Number.isNaN(moment.getTime())) return moment;
  throw new InvalidArgumentError("Write a moment with its offset, such as 2026-12-25T03:00+09:00.");
}
