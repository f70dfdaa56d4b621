import type { DayPeriod, OpeningHours, WeeklyPeriod } from "../../gen/muin/identity/v1/branch_pb.ts";
import { zoneNamed, zoneRulesVersion } from "../../platform/clock/zones.ts";
import { hoursErrors } from "./errors.ts";

/** A stretch of time, in milliseconds since the Unix epoch; `toMs` is the first moment after it. */
export interface TimeSpan {
  readonly fromMs: number;
  readonly toMs: number;
}

/** Whether a place is open, and for how long it has been and will be so. */
export interface OpenState {
  readonly open: boolean;
  /** `undefined` when for longer than 366 days. */
  readonly sinceMs: number | undefined;
  /** The first moment when it is otherwise; `undefined` when not within 366 days. */
  readonly untilMs: number | undefined;
}

const dayMs = 86_400_000;

/** How far from a moment its state is looked at, in both directions: short first, since hours change within a week nearly always. */
const lookDays = [8, 62, 366] as const;

/** A period that begins on a date ends on the next one at the latest; a zone's clock can step by a day. */
const daysAround = 3;

/**
 * The stretches of [fromMs, toMs) in which a place with these hours is open, in order, none touching another. `undefined` hours
 * are always. What the hours mean where the clock skips or repeats an hour stands at OpeningHours in branch.proto. Throws
 * TIME_ZONE_UNKNOWN when there are hours in a time zone that the zone rules do not have.
 */
export function openSpans(
  hours: OpeningHours | undefined,
  timeZone: string,
  { fromMs, toMs }: TimeSpan,
): readonly TimeSpan[] {
  if (fromMs >= toMs) return [];
  if (hours === undefined) return [{ fromMs, toMs }];
  const zone = zoneNamed(timeZone);
  if (zone === undefined) throw hoursErrors.timeZoneUnknown({ time_zone: timeZone, zone_rules: zoneRulesVersion });
  const periodsOn = periodsByDate(hours);
  const last = zone.wallAt(toMs).toPlainDate().add({ days: daysAround });
  const spans: TimeSpan[] = [];
  for (
    let date = zone.wallAt(fromMs).toPlainDate().subtract({ days: daysAround });
    Temporal.PlainDate.compare(date, last) <= 0;
    date = date.add({ days: 1 })
  ) {
    for (const { openMinute, closeMinute } of periodsOn(date)) {
      const span = {
        fromMs: Math.max(fromMs, zone.firstInstantOf(wallTime(date, openMinute))),
        toMs: Math.min(toMs, zone.endBefore(wallTime(date, closeMinute))),
      };
      if (span.fromMs < span.toMs) spans.push(span);
    }
  }
  return joined(spans);
}

/** Whether a place with these hours is open at a moment, since when and until when. Throws as `openSpans` does. */
export function openStateAt(hours: OpeningHours | undefined, timeZone: string, atMs: number): OpenState {
  if (hours === undefined) return { open: true, sinceMs: undefined, untilMs: undefined };
  let state: OpenState = { open: false, sinceMs: undefined, untilMs: undefined };
  for (const days of lookDays) {
    const look = { fromMs: atMs - days * dayMs, toMs: atMs + days * dayMs };
    const spans = openSpans(hours, timeZone, look);
    const span = spans.find(({ fromMs, toMs }) => fromMs <= atMs && atMs < toMs);
    // What touches the edge of the look may go on beyond it.
    state =
      span === undefined
        ? {
            open: false,
            sinceMs: spans.findLast(({ toMs }) => toMs <= atMs)?.toMs,
            untilMs: spans.find(({ fromMs }) => fromMs > atMs)?.fromMs,
          }
        : {
            open: true,
            sinceMs: span.fromMs === look.fromMs ? undefined : span.fromMs,
            untilMs: span.toMs === look.toMs ? undefined : span.toMs,
          };
    if (state.sinceMs !== undefined && state.untilMs !== undefined) break;
  }
  return state;
}

/** Whether a date such as "2026-02-28" is in the calendar. */
export function isDate(text: string): boolean {
  try {
    return /^\d{4}-\d{2}-\d{2}$/.test(text) && Temporal.PlainDate.from(text).toString() === text;
  } catch {
    return false; // Temporal throws for a day that the month does not have.
  }
}

/** The periods that begin on a date. */
function periodsByDate(hours: OpeningHours): (date: Temporal.PlainDate) => readonly DayPeriod[] {
  const weekly = weeklyByDay(hours.weekly);
  const dated = new Map(hours.exceptions.filter(({ yearly }) => !yearly).map((each) => [each.date, each.periods]));
  const yearly = new Map(hours.exceptions.filter((each) => each.yearly).map((each) => [each.date.slice(5), each]));
  return (date) => {
    const text = date.toString();
    const exception = dated.get(text);
    if (exception !== undefined) return exception;
    const holiday = yearly.get(text.slice(5));
    if (holiday !== undefined && holiday.date <= text) return holiday.periods;
    return weekly.get(date.dayOfWeek) ?? [];
  };
}

function weeklyByDay(weekly: readonly WeeklyPeriod[]): ReadonlyMap<number, readonly DayPeriod[]> {
  const days = new Map<number, DayPeriod[]>();
  for (const { day, period } of weekly) {
    if (period !== undefined) days.set(day, [...(days.get(day) ?? []), period]);
  }
  return days;
}

/** What the clock shows so many minutes after it showed the beginning of a date, skipped and repeated hours aside. */
function wallTime(date: Temporal.PlainDate, minute: number): Temporal.PlainDateTime {
  return date.toPlainDateTime().add({ minutes: minute });
}

/** The same stretches in order, those that touch or overlap made one. */
function joined(spans: readonly TimeSpan[]): readonly TimeSpan[] {
  const result: TimeSpan[] = [];
  for (const span of spans.toSorted((a, b) => a.fromMs - b.fromMs)) {
    const last = result.at(-1);
    if (last === undefined || span.fromMs > last.toMs) result.push(span);
    else result[result.length - 1] = { fromMs: last.fromMs, toMs: Math.max(last.toMs, span.toMs) };
  }
  return result;
}
