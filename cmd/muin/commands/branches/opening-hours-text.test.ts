import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import { formatHours, parseHours, type HoursText } from "./opening-hours-text.ts";

const none: HoursText = { weekly: [], exceptions: [], yearly: [] };
const periodsOf = (line: string): readonly string[] =>
  parseHours({ ...none, weekly: [line] }).weekly.map(
    ({ day, period }) => `${day} ${period?.openMinute}-${period?.closeMinute}`,
  );

describe("weekly hours", () => {
  test.each<[string, readonly string[]]>([
    ["mon 06:00-24:00", ["1 360-1440"]],
    ["sat 22:00-06:00", ["6 1320-1800"]],
    ["sat 22:00-30:00", ["6 1320-1800"]],
    ["sun 24h", ["7 0-1440"]],
    ["mon 09:00-09:00", ["1 540-1980"]],
    [
      "mon,wed-thu 8:00-12:00,13:00-17:30",
      ["1 480-720", "1 780-1050", "3 480-720", "3 780-1050", "4 480-720", "4 780-1050"],
    ],
    ["sat-mon 10:00-11:00", ["6 600-660", "7 600-660", "1 600-660"]],
    ["SUN closed", []],
  ])("%s", (line, expected) => {
    expect(periodsOf(line)).toEqual([...expected]);
  });

  test.each([
    "",
    "mon",
    "mon 6-24",
    "mon 06:00",
    "mon 06:60-07:00",
    "mon 48:00-49:00",
    "day 06:00-07:00",
    "mon-tue-wed 24h",
    "mon 24h x",
  ])("%p is refused by name", (line) => {
    expect(() => periodsOf(line)).toThrow(`"${line}" is not weekly hours; write them like`);
  });
});

test("hours of dates", () => {
  const lines = {
    ...none,
    exceptions: ["2026-12-31 08:00-12:00,22:00-03:00 New Year's Eve"],
    yearly: ["2026-12-25 closed"],
  };
  const { exceptions } = parseHours(lines);
  expect(exceptions).toMatchObject([
    {
      date: "2026-12-31",
      displayName: "New Year's Eve",
      yearly: false,
      periods: [
        { openMinute: 480, closeMinute: 720 },
        { openMinute: 1320, closeMinute: 1620 },
      ],
    },
    { date: "2026-12-25", displayName: "", yearly: true, periods: [] },
  ]);
  expect(formatHours(parseHours(lines))).toEqual({
    weekly: ["mon-sun closed"],
    exceptions: lines.exceptions,
    yearly: lines.yearly,
  });
  for (const line of ["2026-12-31", "12-25 closed", "25.12.2026 closed"]) {
    expect(() => parseHours({ ...none, exceptions: [line] })).toThrow(`"${line}" is not hours of a date`);
  }
});

test("what is written is read back", () => {
  const minute = fc.integer({ min: 0, max: 1439 });
  const length = fc.integer({ min: 1, max: 1440 });
  const period = fc.tuple(minute, length).map(([openMinute, minutes]) => ({
    openMinute,
    closeMinute: openMinute + minutes,
  }));
  const day = fc.integer({ min: 1, max: 7 });
  fc.assert(
    fc.property(
      fc.uniqueArray(fc.record({ day, period }), { selector: (each) => each.day, maxLength: 7 }),
      (weekly) => {
        const sorted = weekly.toSorted((a, b) => a.day - b.day);
        const { weekly: again } = parseHours(formatHours({ ...parseHours(none), weekly: sorted as never }));
        expect(again.map(({ day: of, period: its }) => [of, its?.openMinute, its?.closeMinute])).toEqual(
          sorted.map((each) => [each.day, each.period.openMinute, each.period.closeMinute]),
        );
      },
    ),
  );
});
