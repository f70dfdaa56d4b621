import { expect, test } from "bun:test";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import {
  BranchSchema,
  WeeklyPeriodSchema,
  type Weekday,
  type WeeklyPeriod,
} from "../../../gen/muin/identity/v1/branch_pb.ts";
import { MuinError } from "../../../platform/errors/muin-error.ts";
import { checkContent } from "./content-rules.ts";

/** What is wrong with a branch, as "field: description". */
function wrongWith(branch: MessageInitShape<typeof BranchSchema>): readonly string[] {
  try {
    checkContent(create(BranchSchema, { displayName: "Gym", timeZone: "Asia/Seoul", ...branch }));
    return [];
  } catch (error) {
    if (!(error instanceof MuinError)) throw error;
    return error.violations.map(({ field, description }) => `${field}: ${description}`);
  }
}
const on = (day: Weekday, openMinute: number, closeMinute: number): WeeklyPeriod =>
  create(WeeklyPeriodSchema, { day, period: { openMinute, closeMinute } });
const weekly = (...periods: WeeklyPeriod[]) => ({ openingHours: { weekly: periods } });
const minutes = (openMinute: number, closeMinute: number) => ({ openMinute, closeMinute });
const overlap = "end one where the other begins, or make them one";
const exceptions = (
  ...given: { date: string; yearly?: boolean; periods?: { openMinute: number; closeMinute: number }[] }[]
) => ({
  openingHours: { exceptions: given },
});

test.each<[string, MessageInitShape<typeof BranchSchema>, readonly string[]]>([
  ["nothing", {}, []],
  ["no name", { displayName: " " }, ["branch.display_name: must have at least one character"]],
  [
    "no time zone",
    { timeZone: "" },
    ['branch.time_zone: must be a time zone of the IANA database, such as "Asia/Seoul"'],
  ],
  [
    "no such zone",
    { timeZone: "Asia/Gangnam" },
    ['branch.time_zone: must be a time zone of the IANA database, such as "Asia/Seoul"'],
  ],
  [
    "an offset",
    { timeZone: "+09:00" },
    ['branch.time_zone: must be a time zone of the IANA database, such as "Asia/Seoul"'],
  ],
  ["another spelling", { timeZone: "asia/seoul" }, ['branch.time_zone: is written "Asia/Seoul" in the IANA database']],
  ["all week, touching", weekly(...([1, 2, 3, 4, 5, 6, 7] as const).map((day) => on(day, 0, 1440))), []],
  ["24 hours over midnight", weekly(on(1, 600, 2040)), []],
  [
    "more than 24 hours",
    weekly(on(1, 600, 2041)),
    [
      "branch.opening_hours.weekly[0].period.close_minute: must be from 601 to 2040: after open_minute, at most 24 hours later",
    ],
  ],
  [
    "ends as it begins",
    weekly(on(2, 600, 660), on(1, 600, 600)),
    [
      "branch.opening_hours.weekly[1].period.close_minute: must be from 601 to 2040: after open_minute, at most 24 hours later",
    ],
  ],
  [
    "overlap on a day",
    weekly(on(1, 600, 700), on(1, 699, 800)),
    [`branch.opening_hours.weekly[1]: overlaps branch.opening_hours.weekly[0]; ${overlap}`],
  ],
  [
    "overlap over midnight",
    weekly(on(2, 0, 60), on(1, 1380, 1441)),
    [`branch.opening_hours.weekly[0]: overlaps branch.opening_hours.weekly[1]; ${overlap}`],
  ],
  [
    "overlap over Sunday's midnight",
    weekly(on(1, 0, 60), on(7, 1380, 1470)),
    [`branch.opening_hours.weekly[0]: overlaps branch.opening_hours.weekly[1]; ${overlap}`],
  ],
  ["touch over Sunday's midnight", weekly(on(1, 30, 60), on(7, 1380, 1470)), []],
  [
    "no such date",
    exceptions({ date: "2026-02-30" }),
    ['branch.opening_hours.exceptions[0].date: "2026-02-30" is not in the calendar; write it like 2026-12-25'],
  ],
  ["29 February of a leap year", exceptions({ date: "2028-02-29", yearly: true }), []],
  [
    "29 February of a common year",
    exceptions({ date: "2027-02-29", yearly: true }),
    ['branch.opening_hours.exceptions[0].date: "2027-02-29" is not in the calendar; write it like 2026-12-25'],
  ],
  ["a date, and every year", exceptions({ date: "2026-12-25" }, { date: "2026-12-25", yearly: true }), []],
  [
    "a date twice",
    exceptions({ date: "2026-12-25" }, { date: "2026-12-25" }),
    ['branch.opening_hours.exceptions[1].date: "2026-12-25" is there before; each stands once'],
  ],
  [
    "every year twice",
    exceptions({ date: "2026-12-25", yearly: true }, { date: "2027-12-25", yearly: true }),
    ['branch.opening_hours.exceptions[1].date: "12-25, yearly," is there before; each stands once'],
  ],
  [
    "overlap within an exception",
    exceptions({ date: "2026-12-25", periods: [minutes(0, 60), minutes(59, 120)] }),
    [
      `branch.opening_hours.exceptions[0].periods[1]: overlaps branch.opening_hours.exceptions[0].periods[0]; ${overlap}`,
    ],
  ],
  [
    "a machine twice",
    { equipment: [{ equipmentId: "a" }, { equipmentId: "b" }, { equipmentId: "a" }] },
    ['branch.equipment[2].equipment_id: "a" is there before; each stands once'],
  ],
  [
    "a plan twice, and its hours overlap",
    { entryRules: { plans: [{ plan: "gold" }, { plan: "gold", weekly: [on(1, 0, 60), on(1, 30, 90)] }] } },
    [
      'branch.entry_rules.plans[1].plan: "gold" is there before; each stands once',
      `branch.entry_rules.plans[1].weekly[1]: overlaps branch.entry_rules.plans[1].weekly[0]; ${overlap}`,
    ],
  ],
])("%s", (_, branch, expected) => {
  expect(wrongWith(branch)).toEqual(expected);
});

test("an answer names no more than 20 violations", () => {
  const equipment = Array.from({ length: 50 }, () => ({ equipmentId: "same" }));
  expect(wrongWith({ equipment })).toHaveLength(20);
});

const equipment = (count: number) =>
  Array.from({ length: count }, (_, index) => ({ equipmentId: `${index}`, displayName: "서".repeat(128) }));

test("a branch has its size", () => {
  expect(wrongWith({ equipment: equipment(600) })).toEqual([]);
  expect(wrongWith({ equipment: equipment(1000) })).toEqual([
    expect.stringMatching(/^branch: has \d+ bytes of protobuf; at most 262144 are kept of a branch$/),
  ]);
});
