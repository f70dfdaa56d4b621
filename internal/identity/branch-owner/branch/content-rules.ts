import { toBinary } from "@bufbuild/protobuf";
import {
  BranchSchema,
  type Branch,
  type DayPeriod,
  type OpeningException,
  type WeeklyPeriod,
} from "../../../gen/muin/identity/v1/branch_pb.ts";
import { zoneNamed, zoneSpelling } from "../../../platform/clock/zones.ts";
import type { FieldViolation } from "../../../platform/errors/muin-error.ts";
import { isDate } from "../../../shared/hours/opening-hours.ts";
import { fieldsInvalid } from "../../../platform/resource/errors.ts";

const dayMinutes = 1440;
const weekMinutes = 7 * dayMinutes;
/** Bytes of a branch's content in protobuf binary: a page of branches stays well below what a reply may have. */
const contentBytesMax = 256 * 1024;
/** Violations that one answer names. */
const violationsMax = 20;

/**
 * Throws INVALID_ARGUMENT, with all that is wrong, when a branch's content breaks a rule that its proto cannot check. A time zone that
 * the branch had `before` may stay, whatever became of its name.
 */
export function checkContent(branch: Branch, before?: Branch): void {
  const bytes = toBinary(BranchSchema, branch).length;
  if (bytes > contentBytesMax) {
    const description = `has ${bytes} bytes of protobuf; at most ${contentBytesMax} are kept of a branch`;
    throw fieldsInvalid([{ field: "branch", description }]);
  }
  const violations = [
    ...(branch.displayName.trim() === ""
      ? [{ field: "branch.display_name", description: "must have at least one character" }]
      : []),
    ...(branch.timeZone === before?.timeZone ? [] : timeZoneViolations(branch.timeZone)),
    ...weeklyViolations("branch.opening_hours.weekly", branch.openingHours?.weekly ?? []),
    ...exceptionViolations(branch.openingHours?.exceptions ?? []),
    ...repeated(
      branch.equipment.map(({ equipmentId }) => equipmentId),
      (index) => `branch.equipment[${index}].equipment_id`,
    ),
    ...planViolations(branch),
  ];
  if (violations.length > 0) throw fieldsInvalid(violations.slice(0, violationsMax));
}

function timeZoneViolations(timeZone: string): FieldViolation[] {
  if (zoneNamed(timeZone) !== undefined) return [];
  const spelling = zoneSpelling(timeZone);
  const description =
    spelling === undefined
      ? 'must be a time zone of the IANA database, such as "Asia/Seoul"'
      : `is written "${spelling}" in the IANA database`;
  return [{ field: "branch.time_zone", description }];
}

function planViolations({ entryRules }: Branch): FieldViolation[] {
  const plans = entryRules?.plans ?? [];
  return [
    ...repeated(
      plans.map(({ plan }) => plan),
      (index) => `branch.entry_rules.plans[${index}].plan`,
    ),
    ...plans.flatMap(({ weekly }, index) => weeklyViolations(`branch.entry_rules.plans[${index}].weekly`, weekly)),
  ];
}

/** One for each value that stood earlier in the list. */
function repeated(values: readonly string[], fieldOf: (index: number) => string): FieldViolation[] {
  return values.flatMap((value, index) =>
    values.indexOf(value) === index
      ? []
      : [{ field: fieldOf(index), description: `"${value}" is there before; each stands once` }],
  );
}

function periodViolations(field: string, { openMinute, closeMinute }: DayPeriod): FieldViolation[] {
  if (closeMinute > openMinute && closeMinute - openMinute <= dayMinutes) return [];
  const description = `must be from ${openMinute + 1} to ${openMinute + dayMinutes}: after open_minute, at most 24 hours later`;
  return [{ field: `${field}.close_minute`, description }];
}

function weeklyViolations(field: string, weekly: readonly WeeklyPeriod[]): FieldViolation[] {
  const spans = weekly.flatMap(({ day, period }, index) =>
    period === undefined ? [] : [{ field: `${field}[${index}]`, day, period }],
  );
  const wrong = spans.flatMap((span) => periodViolations(`${span.field}.period`, span.period));
  if (wrong.length > 0) return wrong;
  const minutes = spans.map(({ field: name, day, period }) => {
    const midnight = (day - 1) * dayMinutes;
    return { field: name, from: midnight + period.openMinute, to: midnight + period.closeMinute };
  });
  // The week goes round: what runs over Sunday's midnight comes again before Monday's.
  return overlaps([
    ...minutes,
    ...minutes.map(({ field: name, from, to }) => ({ field: name, from: from - weekMinutes, to: to - weekMinutes })),
  ]);
}

function exceptionViolations(exceptions: readonly OpeningException[]): FieldViolation[] {
  return [
    ...exceptions.flatMap(({ date }, index) =>
      isDate(date)
        ? []
        : [
            {
              field: `${exceptionField(index)}.date`,
              description: `"${date}" is not in the calendar; write it like 2026-12-25`,
            },
          ],
    ),
    ...repeated(
      exceptions.map(({ date, yearly }) => (yearly ? `${date.slice(5)}, yearly,` : date)),
      (index) => `${exceptionField(index)}.date`,
    ),
    ...exceptions.flatMap(({ periods }, index) => {
      const fieldOf = (at: number): string => `${exceptionField(index)}.periods[${at}]`;
      const wrong = periods.flatMap((period, at) => periodViolations(fieldOf(at), period));
      if (wrong.length > 0) return wrong;
      return overlaps(periods.map((one, at) => ({ field: fieldOf(at), from: one.openMinute, to: one.closeMinute })));
    }),
  ];
}

function exceptionField(index: number): string {
  return `branch.opening_hours.exceptions[${index}]`;
}

/** One for each stretch that begins before an earlier one has ended. */
function overlaps(
  spans: readonly { readonly field: string; readonly from: number; readonly to: number }[],
): FieldViolation[] {
  const found = new Map<string, FieldViolation>();
  const sorted = spans.toSorted((a, b) => a.from - b.from);
  for (const [index, span] of sorted.entries()) {
    const before = sorted[index - 1];
    if (before === undefined || before.to <= span.from || found.has(before.field)) continue;
    const description = `overlaps ${before.field}; end one where the other begins, or make them one`;
    found.set(span.field, { field: span.field, description });
  }
  return [...found.values()];
}
