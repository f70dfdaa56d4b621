import { create } from "@bufbuild/protobuf";
import {
  DayPeriodSchema,
  OpeningExceptionSchema,
  OpeningHoursSchema,
  WeeklyPeriodSchema,
  type DayPeriod,
  type OpeningException,
  type OpeningHours,
  type Weekday,
  type WeeklyPeriod,
} from "../../../../internal/gen/muin/identity/v1/branch_pb.ts";
import { Failure } from "../../terminal/failure.ts";

/** Opening hours as people write them, a line for some days or for a date. */
export interface HoursText {
  /** Such as "mon-fri 06:00-24:00", "sat 22:00-06:00", "sun closed". */
  readonly weekly: readonly string[];
  /** Such as "2026-12-25 closed Christmas", "2026-12-31 08:00-12:00,13:00-15:00 New Year's Eve". */
  readonly exceptions: readonly string[];
  /** The same for what comes every year from the date on. */
  readonly yearly: readonly string[];
}

const dayNames = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"] as const;
const dayMinutes = 1440;

/** Reads opening hours. Throws a usage failure that names the line. */
export function parseHours({ weekly, exceptions, yearly }: HoursText): OpeningHours {
  return create(OpeningHoursSchema, {
    weekly: weekly.flatMap(weeklyOf),
    exceptions: [
      ...exceptions.map((line) => exceptionOf(line, false)),
      ...yearly.map((line) => exceptionOf(line, true)),
    ],
  });
}

/** The same as text; `parseHours` reads it back. */
export function formatHours({ weekly, exceptions }: OpeningHours): HoursText {
  const days = dayNames.map((_, index) => periodsText(periodsOf(weekly, index + 1)));
  const lines: string[] = [];
  for (let from = 0; from < days.length;) {
    let to = from;
    while (days[to + 1] === days[from]) to += 1;
    lines.push(`${dayNames[from]}${to > from ? `-${dayNames[to]}` : ""} ${days[from]}`);
    from = to + 1;
  }
  return {
    weekly: lines,
    exceptions: exceptions.filter((each) => !each.yearly).map(lineOf),
    yearly: exceptions.filter((each) => each.yearly).map(lineOf),
  };
}

function lineOf({ date, displayName, periods }: OpeningException): string {
  return `${date} ${periodsText(periods)}${displayName === "" ? "" : ` ${displayName}`}`;
}

function periodsOf(weekly: readonly WeeklyPeriod[], of: number): readonly DayPeriod[] {
  return weekly.flatMap(({ day, period }) => (day === of && period !== undefined ? [period] : []));
}

function weeklyOf(line: string): WeeklyPeriod[] {
  const [days = "", periods = "", ...rest] = line.trim().split(/\s+/);
  const parsed = rest.length > 0 ? undefined : parsePeriods(periods);
  const parsedDays = daysOf(days.toLowerCase());
  if (parsed === undefined || parsedDays === undefined) {
    throw new Failure(
      "usage",
      `"${line}" is not weekly hours; write them like "mon-fri 06:00-24:00", "sat,sun 10:00-14:00,22:00-06:00" or "sun closed"`,
    );
  }
  return parsedDays.flatMap((day) => parsed.map((period) => create(WeeklyPeriodSchema, { day, period })));
}

/** "mon-fri,sun" as days. */
function daysOf(text: string): Weekday[] | undefined {
  const days: Weekday[] = [];
  for (const part of text.split(",")) {
    const [first = "", last = first, ...rest] = part.split("-");
    const [from, to] = [first, last].map((name) => dayNames.findIndex((each) => each === name));
    if (from === undefined || to === undefined || from === -1 || to === -1 || rest.length > 0) return undefined;
    // "sat-mon" goes round the week.
    const count = ((to - from + dayNames.length) % dayNames.length) + 1;
    for (let at = 0; at < count; at += 1) days.push((((from + at) % dayNames.length) + 1) as Weekday);
  }
  return days;
}

function exceptionOf(line: string, yearly: boolean): OpeningException {
  const [, date, text, displayName = ""] = /^\s*(\d{4}-\d{2}-\d{2})\s+(\S+)(?:\s+(.*\S))?\s*$/.exec(line) ?? [];
  const periods = text === undefined ? undefined : parsePeriods(text);
  if (date === undefined || periods === undefined) {
    throw new Failure(
      "usage",
      `"${line}" is not hours of a date; write them like "2026-12-25 closed Christmas" or "2026-12-31 08:00-12:00"`,
    );
  }
  return create(OpeningExceptionSchema, { date, displayName, yearly, periods });
}

/** "08:00-12:00,22:00-06:00", "24h" or "closed". */
function parsePeriods(text: string): DayPeriod[] | undefined {
  if (text === "closed") return [];
  if (text === "24h") return [create(DayPeriodSchema, { openMinute: 0, closeMinute: dayMinutes })];
  const periods: DayPeriod[] = [];
  for (const part of text.split(",")) {
    const [from, to, ...rest] = part.split("-").map(minuteOf);
    if (from === undefined || to === undefined || rest.length > 0) return undefined;
    // "22:00-06:00" runs into the next day.
    periods.push(create(DayPeriodSchema, { openMinute: from, closeMinute: to > from ? to : to + dayMinutes }));
  }
  return periods;
}

function minuteOf(text: string): number | undefined {
  const [, hours, minutes] = /^(\d{1,2}):([0-5]\d)$/.exec(text) ?? [];
  return hours === undefined || Number(hours) > 47 ? undefined : Number(hours) * 60 + Number(minutes);
}

function periodsText(periods: readonly DayPeriod[]): string {
  if (periods.length === 0) return "closed";
  return periods
    .toSorted((a, b) => a.openMinute - b.openMinute)
    .map(({ openMinute, closeMinute }) => {
      if (openMinute === 0 && closeMinute === dayMinutes) return "24h";
      return `${timeText(openMinute)}-${timeText(closeMinute > dayMinutes ? closeMinute - dayMinutes : closeMinute)}`;
    })
    .join(",");
}

function timeText(minute: number): string {
  return [Math.floor(minute / 60), minute % 60].map((part) => String(part).padStart(2, "0")).join(":");
}
