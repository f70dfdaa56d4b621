import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import {
  DayPeriodSchema,
  OpeningHoursSchema,
  WeeklyPeriodSchema,
  type DayPeriod,
  type OpeningHours,
  type Weekday,
} from "../../gen/muin/identity/v1/branch_pb.ts";
import { caught, importMutant } from "../../platform/testing/mutant.ts";
import * as openingHours from "./opening-hours.ts";

type Implementation = typeof openingHours;
const hourMs = 3_600_000;
const dayMs = 24 * hourMs;

/** "09:30" as minutes since midnight; hours beyond 24 are on the next day. */
function minuteOf(text: string): number {
  const [hours, minutes] = text.split(":").map(Number);
  return (hours ?? 0) * 60 + (minutes ?? 0);
}
/** "22:00-30:00" as a period of a day. */
function period(text: string): DayPeriod {
  const [openMinute = 0, closeMinute = 0] = text.split("-").map(minuteOf);
  return create(DayPeriodSchema, { openMinute, closeMinute });
}
/** Open on one date only. */
function onDate(date: string, ...periods: readonly string[]): OpeningHours {
  return create(OpeningHoursSchema, { exceptions: [{ date, periods: periods.map(period) }] });
}
/** The same periods on some days, 1 for Monday. */
function weekly(days: readonly Weekday[], ...periods: readonly string[]): OpeningHours {
  const all = days.flatMap((day) => periods.map((text) => create(WeeklyPeriodSchema, { day, period: period(text) })));
  return create(OpeningHoursSchema, { weekly: all });
}
const everyDay = (...periods: string[]): OpeningHours => weekly([1, 2, 3, 4, 5, 6, 7], ...periods);

/** A moment in UTC, to the minute where it is a whole one. */
function utc(ms: number): string {
  return new Date(ms).toISOString().replace(/:00\.000Z$/, "Z");
}

/** Spans as "from/to" in UTC, to the minute. */
function spansOf(
  implementation: Implementation,
  hours: OpeningHours | undefined,
  timeZone: string,
  from: string,
  to: string,
): readonly string[] {
  return implementation
    .openSpans(hours, timeZone, { fromMs: Date.parse(from), toMs: Date.parse(to) })
    .map(({ fromMs, toMs }) => `${utc(fromMs)}/${utc(toMs)}`);
}

/** Where the clock steps: zone, what is shown, date, hours on the wall, the stretch in UTC; none when it does not take place. */
const steps: readonly (readonly [zone: string, what: string, date: string, hours: string, span: string | undefined])[] =
  [
    ["Asia/Seoul", "no step: a night", "2026-03-28", "22:00-30:00", "2026-03-28T13:00Z/2026-03-28T21:00Z"],
    ["Asia/Seoul", "no step: a day", "2026-10-25", "00:00-24:00", "2026-10-24T15:00Z/2026-10-25T15:00Z"],
    ["Asia/Seoul", "no step: two o'clock", "2026-03-29", "02:30-04:00", "2026-03-28T17:30Z/2026-03-28T19:00Z"],

    ["Europe/Berlin", "skip: a night is 7 hours", "2026-03-28", "22:00-30:00", "2026-03-28T21:00Z/2026-03-29T04:00Z"],
    ["Europe/Berlin", "skip: a day is 23 hours", "2026-03-29", "00:00-24:00", "2026-03-28T23:00Z/2026-03-29T22:00Z"],
    ["Europe/Berlin", "skip: begins in it", "2026-03-29", "02:30-04:00", "2026-03-29T01:00Z/2026-03-29T02:00Z"],
    ["Europe/Berlin", "skip: ends in it", "2026-03-29", "01:00-02:30", "2026-03-29T00:00Z/2026-03-29T01:00Z"],
    ["Europe/Berlin", "skip: all within it", "2026-03-29", "02:10-02:50", undefined],
    ["Europe/Berlin", "skip: from its beginning", "2026-03-29", "02:00-05:00", "2026-03-29T01:00Z/2026-03-29T03:00Z"],
    ["Europe/Berlin", "skip: to its end", "2026-03-29", "01:30-03:00", "2026-03-29T00:30Z/2026-03-29T01:00Z"],
    ["Europe/Berlin", "twice: a night is 9 hours", "2026-10-24", "22:00-30:00", "2026-10-24T20:00Z/2026-10-25T05:00Z"],
    ["Europe/Berlin", "twice: a day is 25 hours", "2026-10-25", "00:00-24:00", "2026-10-24T22:00Z/2026-10-25T23:00Z"],
    [
      "Europe/Berlin",
      "twice: begins in it, at first",
      "2026-10-25",
      "02:30-04:00",
      "2026-10-25T00:30Z/2026-10-25T03:00Z",
    ],
    ["Europe/Berlin", "twice: ends in it, at last", "2026-10-25", "01:00-02:30", "2026-10-24T23:00Z/2026-10-25T01:30Z"],
    ["Europe/Berlin", "twice: all within it", "2026-10-25", "02:10-02:50", "2026-10-25T00:10Z/2026-10-25T01:50Z"],
    ["Europe/Berlin", "twice: to its beginning", "2026-10-25", "00:00-02:00", "2026-10-24T22:00Z/2026-10-25T00:00Z"],
    ["Europe/Berlin", "twice: from its end", "2026-10-25", "03:00-05:00", "2026-10-25T02:00Z/2026-10-25T04:00Z"],

    [
      "America/New_York",
      "skip: a night is 7 hours",
      "2026-03-07",
      "22:00-30:00",
      "2026-03-08T03:00Z/2026-03-08T10:00Z",
    ],
    ["America/New_York", "skip: begins in it", "2026-03-08", "02:30-04:00", "2026-03-08T07:00Z/2026-03-08T08:00Z"],
    ["America/New_York", "skip: a day is 23 hours", "2026-03-08", "00:00-24:00", "2026-03-08T05:00Z/2026-03-09T04:00Z"],
    [
      "America/New_York",
      "twice: a night is 9 hours",
      "2026-10-31",
      "22:00-30:00",
      "2026-11-01T02:00Z/2026-11-01T11:00Z",
    ],
    ["America/New_York", "twice: begins in it", "2026-11-01", "01:30-03:00", "2026-11-01T05:30Z/2026-11-01T08:00Z"],
    ["America/New_York", "twice: ends in it", "2026-11-01", "00:30-01:30", "2026-11-01T04:30Z/2026-11-01T06:30Z"],

    [
      "Australia/Lord_Howe",
      "skips half an hour: a night",
      "2026-10-03",
      "22:00-30:00",
      "2026-10-03T11:30Z/2026-10-03T19:00Z",
    ],
    [
      "Australia/Lord_Howe",
      "skips half an hour: begins in it",
      "2026-10-04",
      "02:15-03:00",
      "2026-10-03T15:30Z/2026-10-03T16:00Z",
    ],
    [
      "Australia/Lord_Howe",
      "skips half an hour: ends after it",
      "2026-10-04",
      "01:00-02:45",
      "2026-10-03T14:30Z/2026-10-03T15:45Z",
    ],
    [
      "Australia/Lord_Howe",
      "half an hour twice: a day is 24.5 hours",
      "2026-04-05",
      "00:00-24:00",
      "2026-04-04T13:00Z/2026-04-05T13:30Z",
    ],
    [
      "Australia/Lord_Howe",
      "half an hour twice: begins in it",
      "2026-04-05",
      "01:45-03:00",
      "2026-04-04T14:45Z/2026-04-04T16:30Z",
    ],
    [
      "Australia/Lord_Howe",
      "half an hour twice: ends in it",
      "2026-04-05",
      "01:00-01:45",
      "2026-04-04T14:00Z/2026-04-04T15:15Z",
    ],

    [
      "Africa/Casablanca",
      "twice as Ramadan begins: a night",
      "2026-02-14",
      "22:00-30:00",
      "2026-02-14T21:00Z/2026-02-15T06:00Z",
    ],
    [
      "Africa/Casablanca",
      "twice as Ramadan begins: begins in it",
      "2026-02-15",
      "02:30-04:00",
      "2026-02-15T01:30Z/2026-02-15T04:00Z",
    ],
    ["Africa/Casablanca", "in Ramadan", "2026-03-01", "09:00-17:00", "2026-03-01T09:00Z/2026-03-01T17:00Z"],
    [
      "Africa/Casablanca",
      "skip after Ramadan: begins in it",
      "2026-03-22",
      "02:30-04:00",
      "2026-03-22T02:00Z/2026-03-22T03:00Z",
    ],
    ["Africa/Casablanca", "the rest of the year", "2026-06-01", "09:00-17:00", "2026-06-01T08:00Z/2026-06-01T16:00Z"],

    ["Asia/Beirut", "skips midnight: a night", "2026-03-28", "22:00-30:00", "2026-03-28T20:00Z/2026-03-29T03:00Z"],
    ["Asia/Beirut", "skips midnight: a day", "2026-03-29", "00:00-24:00", "2026-03-28T22:00Z/2026-03-29T21:00Z"],
    ["Pacific/Apia", "skips a whole day", "2011-12-30", "09:00-17:00", undefined],
    [
      "Pacific/Apia",
      "a night into a day that is skipped",
      "2011-12-29",
      "22:00-30:00",
      "2011-12-30T08:00Z/2011-12-30T10:00Z",
    ],
  ];

function checkStep(implementation: Implementation, [zone, , date, hours, span]: (typeof steps)[number]): void {
  const around = Date.parse(`${date}T12:00Z`);
  const [from, to] = [around - 4 * dayMs, around + 4 * dayMs].map((ms) => new Date(ms).toISOString());
  expect(spansOf(implementation, onDate(date, hours), zone, from ?? "", to ?? "")).toEqual(
    span === undefined ? [] : [span],
  );
}

describe("where the clock steps", () => {
  test.each(steps)("%s, %s (%s %s)", (...[zone, what, date, hours, span]) =>
    checkStep(openingHours, [zone, what, date, hours, span]),
  );
});

describe("exceptions", () => {
  const hours = create(OpeningHoursSchema, {
    weekly: everyDay("09:00-18:00").weekly,
    exceptions: [
      { date: "2026-12-25", displayName: "Christmas", yearly: true },
      { date: "2027-12-25", displayName: "open after all", periods: [period("10:00-12:00")] },
      { date: "2024-02-29", displayName: "leap day", yearly: true, periods: [period("00:00-24:00")] },
      { date: "2026-05-05", periods: [period("20:00-28:00")] },
    ],
  });
  const on = (date: string): readonly string[] =>
    spansOf(openingHours, hours, "UTC", `${date}T00:00Z`, new Date(Date.parse(`${date}T00:00Z`) + dayMs).toISOString());

  test.each([
    ["the year before a yearly one begins", "2025-12-25", ["2025-12-25T09:00Z/2025-12-25T18:00Z"]],
    ["the first of a yearly one", "2026-12-25", []],
    ["one for a date wins over a yearly one", "2027-12-25", ["2027-12-25T10:00Z/2027-12-25T12:00Z"]],
    ["a yearly one", "2033-12-25", []],
    ["29 February", "2028-02-29", ["2028-02-29T00:00Z/2028-03-01T00:00Z"]],
    ["28 February of a common year", "2027-02-28", ["2027-02-28T09:00Z/2027-02-28T18:00Z"]],
    ["1 March of a common year", "2027-03-01", ["2027-03-01T09:00Z/2027-03-01T18:00Z"]],
    ["2100, which is no leap year", "2100-02-28", ["2100-02-28T09:00Z/2100-02-28T18:00Z"]],
    ["a date's night", "2026-05-05", ["2026-05-05T20:00Z/2026-05-06T00:00Z"]],
    [
      "the day after a date's night",
      "2026-05-06",
      ["2026-05-06T00:00Z/2026-05-06T04:00Z", "2026-05-06T09:00Z/2026-05-06T18:00Z"],
    ],
  ])("%s: %s", (_, date, expected) => {
    expect(on(date)).toEqual([...expected]);
  });

  test("a night that began the day before runs on into a closed day", () => {
    const nights = create(OpeningHoursSchema, {
      weekly: everyDay("22:00-30:00").weekly,
      exceptions: [{ date: "2026-12-25" }],
    });
    expect(spansOf(openingHours, nights, "Asia/Seoul", "2026-12-24T00:00+09:00", "2026-12-27T12:00+09:00")).toEqual([
      "2026-12-23T15:00Z/2026-12-23T21:00Z",
      "2026-12-24T13:00Z/2026-12-24T21:00Z",
      "2026-12-26T13:00Z/2026-12-26T21:00Z",
    ]);
  });
});

describe("open periods", () => {
  test("without hours there is one, cut at both ends; an empty stretch has none", () => {
    expect(spansOf(openingHours, undefined, "UTC", "2026-01-01T00:00Z", "2026-01-02T00:00Z")).toEqual([
      "2026-01-01T00:00Z/2026-01-02T00:00Z",
    ]);
    expect(spansOf(openingHours, undefined, "UTC", "2026-01-01T00:00Z", "2026-01-01T00:00Z")).toEqual([]);
  });

  test("that touch are one", () => {
    const hours = create(OpeningHoursSchema, {
      weekly: [...weekly([1], "09:00-12:00", "12:00-24:00").weekly, ...weekly([2], "00:00-03:00").weekly],
    });
    expect(spansOf(openingHours, hours, "UTC", "2026-01-05T00:00Z", "2026-01-12T00:00Z")).toEqual([
      "2026-01-05T09:00Z/2026-01-06T03:00Z",
    ]);
  });
});

describe("the state at a moment", () => {
  const nights = weekly([5, 6], "22:00-30:00");
  test.each([
    ["open, over the skipped hour", nights, "2026-03-29T00:00Z", [true, "2026-03-28T21:00Z", "2026-03-29T04:00Z"]],
    ["closed until next week", nights, "2026-03-29T04:00Z", [false, "2026-03-29T04:00Z", "2026-04-03T20:00Z"]],
    ["its first moment", nights, "2026-03-28T21:00Z", [true, "2026-03-28T21:00Z", "2026-03-29T04:00Z"]],
    ["the moment before", nights, "2026-03-28T20:59:59.999Z", [false, "2026-03-28T05:00Z", "2026-03-28T21:00Z"]],
    ["always", undefined, "2026-03-28T21:00Z", [true, undefined, undefined]],
    ["always, told by hours", everyDay("00:00-24:00"), "2026-03-28T21:00Z", [true, undefined, undefined]],
    ["never", create(OpeningHoursSchema), "2026-03-28T21:00Z", [false, undefined, undefined]],
    [
      "once a year",
      create(OpeningHoursSchema, {
        exceptions: [{ date: "2020-07-01", yearly: true, periods: [period("08:00-10:00")] }],
      }),
      "2026-07-02T00:00Z",
      [false, "2026-07-01T08:00Z", "2027-07-01T06:00Z"],
    ],
  ] as const)("%s", (_, hours, time, expected) => {
    const { open, sinceMs, untilMs } = openingHours.openStateAt(hours, "Europe/Berlin", Date.parse(time));
    expect([open, sinceMs && utc(sinceMs), untilMs && utc(untilMs)]).toEqual([...expected]);
  });
});

/** A place that is open from nine to six every day, at moments after its zone's rules have changed. */
const changed = [
  ["America/Vancouver", "2026-12-15T16:30:00Z", true],
  ["America/Vancouver", "2026-12-16T01:30:00Z", false],
  ["America/Edmonton", "2026-12-15T15:30:00Z", true],
  ["America/Winnipeg", "2026-12-15T14:30:00Z", true],
  ["America/Los_Angeles", "2026-12-15T17:30:00Z", true],
] as const;

test.each(changed)("in %s at %s, by rules of 2026: open is %p", (timeZone, time, open) => {
  expect(openingHours.openStateAt(everyDay("09:00-18:00"), timeZone, Date.parse(time)).open).toBe(open);
});

test("hours in a time zone that nobody knows are refused by its name; being open always needs none", () => {
  const atMs = Date.parse("2026-12-15T16:30:00Z");
  const stateOf = (hours: OpeningHours | undefined) => openingHours.openStateAt(hours, "Mars/Olympus", atMs);
  expect(() => stateOf(everyDay("09:00-18:00"))).toThrow(
    'the branch\'s time zone "Mars/Olympus" is not in the IANA database (2026f); give the branch one that is, such as "Asia/Seoul"',
  );
  expect(stateOf(undefined)).toEqual({ open: true, sinceMs: undefined, untilMs: undefined });
});

/** A small generator (mulberry32), so that a seed replays a failure. */
function generator(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

const zones = [
  "Asia/Seoul",
  "Europe/Berlin",
  "America/New_York",
  "Australia/Lord_Howe",
  "Africa/Casablanca",
  "Asia/Beirut",
  "America/St_Johns",
  "Pacific/Chatham",
] as const;

/** What the wall clock of a zone shows: minutes since 1970-01-01T00:00 there, by Intl alone. */
function wallClock(timeZone: string): (ms: number) => number {
  const format = new Intl.DateTimeFormat("en-US", {
    timeZone,
    hourCycle: "h23",
    year: "numeric",
    month: "numeric",
    day: "numeric",
    hour: "numeric",
    minute: "numeric",
  });
  return (ms) => {
    const parts: Record<string, number> = {};
    for (const { type, value } of format.formatToParts(ms)) parts[type] = Number(value);
    const { year = 0, month = 0, day = 0, hour = 0, minute = 0 } = parts;
    return Date.UTC(year, month - 1, day, hour, minute) / 60_000;
  };
}

/** A week in which the zone's clock steps, if it does in that year; any week otherwise. */
function weekOf(timeZone: string, year: number, below: (below: number) => number): number {
  const wall = wallClock(timeZone);
  const days = Array.from({ length: 365 }, (_, day) => Date.UTC(year, 0, 1 + day, 12));
  const stepping = days.filter((ms) => wall(ms + dayMs) - wall(ms) !== 1440);
  const chosen = stepping[below(stepping.length + 1)] ?? days[below(days.length)] ?? 0;
  return chosen - below(6) * dayMs - below(24) * hourMs;
}

/** The periods that begin on a day, as days since 1970. */
function periodsOn(hours: OpeningHours, day: number): readonly DayPeriod[] {
  const date = new Date(day * dayMs);
  const text = date.toISOString().slice(0, 10);
  const dated = hours.exceptions.find((each) => !each.yearly && each.date === text);
  const yearly = hours.exceptions.find(
    (each) => each.yearly && each.date.slice(5) === text.slice(5) && each.date <= text,
  );
  if (dated !== undefined) return dated.periods;
  if (yearly !== undefined) return yearly.periods;
  const weekday = date.getUTCDay() === 0 ? 7 : date.getUTCDay();
  return hours.weekly.flatMap(({ day: of, period: its }) => (of === weekday && its !== undefined ? [its] : []));
}

/** Compares a week minute by minute with what the wall shows. */
function checkWeek(implementation: Implementation, below: (below: number) => number): void {
  const timeZone = zones[below(zones.length)] ?? "UTC";
  const start = weekOf(timeZone, 2000 + below(26), below); // From 2026 on the runtime's rules are others.
  const aroundMs = 3 * dayMs;
  const wall = wallClock(timeZone);
  const first = start - aroundMs;
  const shown = Array.from({ length: (7 * dayMs + 2 * aroundMs) / 60_000 }, (_, minute) =>
    wall(first + minute * 60_000),
  );
  const somePeriods = (): DayPeriod[] =>
    Array.from({ length: below(3) }, () => {
      // Half of them where clocks step.
      const openMinute = below(2) === 0 ? below(1440) : below(240);
      const closeMinute = openMinute + 1 + below(below(2) === 0 ? 1440 : 120);
      return create(DayPeriodSchema, { openMinute, closeMinute });
    });
  const firstDay = Math.floor((shown[0] ?? 0) / 1440);
  const lastDay = Math.floor((shown.at(-1) ?? 0) / 1440);
  const dateOf = (): string => new Date((firstDay + below(lastDay - firstDay + 1)) * dayMs).toISOString().slice(0, 10);
  const hours = create(OpeningHoursSchema, {
    weekly: ([1, 2, 3, 4, 5, 6, 7] as const).flatMap((day) =>
      somePeriods().map((its) => create(WeeklyPeriodSchema, { day, period: its })),
    ),
    exceptions: [
      { date: dateOf(), periods: somePeriods() },
      { date: dateOf(), yearly: true, periods: somePeriods() },
    ],
  });
  const expected = new Uint8Array(shown.length);
  for (let day = firstDay - 2; day <= lastDay; day += 1) {
    for (const { openMinute, closeMinute } of periodsOn(hours, day)) {
      const from = shown.findIndex((minute) => minute >= day * 1440 + openMinute);
      const to = shown.findLastIndex((minute) => minute < day * 1440 + closeMinute);
      if (from !== -1) expected.fill(1, from, to + 1);
    }
  }
  const seen = new Uint8Array(shown.length);
  for (const { fromMs, toMs } of implementation.openSpans(hours, timeZone, {
    fromMs: start,
    toMs: start + 7 * dayMs,
  })) {
    expect([fromMs % 60_000, toMs % 60_000]).toEqual([0, 0]);
    seen.fill(1, (fromMs - first) / 60_000, (toMs - first) / 60_000);
  }
  const week = [aroundMs / 60_000, (aroundMs + 7 * dayMs) / 60_000] as const;
  const firstDifference = expected.slice(...week).findIndex((open, minute) => open !== seen[week[0] + minute]);
  const difference =
    firstDifference === -1 ? "none" : `${timeZone} ${new Date(start + firstDifference * 60_000).toISOString()}`;
  expect(difference).toBe("none");
}

const seed = Number(process.env["SEED"] ?? Date.now() % 2 ** 31);
const weeks = 40;

test(`random weeks agree with the clock on the wall minute by minute, seed ${seed}`, () => {
  const below = generator(seed);
  for (let week = 0; week < weeks; week += 1) checkWeek(openingHours, below);
}, 60_000);

describe("a mutant is caught", () => {
  const path = join(import.meta.dir, "opening-hours.ts");
  const zonesPath = join(import.meta.dir, "../../platform/clock/zones.ts");
  test.each([
    [
      "that begins in the second course of an hour shown twice",
      zonesPath,
      "indexAt(stretches, wallMs - dayMs)",
      "indexAt(stretches, wallMs + dayMs)",
      5,
    ],
    [
      "that ends in the first course of an hour shown twice",
      zonesPath,
      "const endMs = Math.min(toMs, wallMs - offsetMs)",
      "const endMs = firstInstantOf(wallMs)",
      6,
    ],
    [
      "that moves a beginning in a skipped hour by the skip",
      zonesPath,
      "Math.max(fromMs, wallMs - offsetMs)",
      "wallMs - offsetMs",
      5,
    ],
    [
      "that takes the end itself for the last moment before it",
      path,
      "zone.endBefore(wallTime(date, closeMinute))",
      'zone.instantOf(wallTime(date, closeMinute), "later")',
      5,
    ],
    [
      "that counts minutes after midnight in real time",
      path,
      "wallTime(date, openMinute)",
      "wallTime(date, openMinute + 60)",
      5,
    ],
  ])(
    "%s",
    async (_, broken, from, to, seedThatNotices) => {
      const mutant = await importMutant<Implementation>(broken, from, to, [path]);
      await caught(() => {
        for (const step of steps) checkStep(mutant, step);
      });
      await caught(() => {
        const below = generator(seedThatNotices);
        for (let week = 0; week < weeks; week += 1) checkWeek(mutant, below);
      });
    },
    60_000,
  );
});
