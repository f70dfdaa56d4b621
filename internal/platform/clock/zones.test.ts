import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { caught, importMutant } from "../testing/mutant.ts";
import * as real from "./zones.ts";

type Zones = typeof real;
type Zone = real.Zone;

function zoneOf(name: string, { zoneNamed }: Zones = real): Zone {
  const zone = zoneNamed(name);
  if (zone === undefined) throw new Error(`there is no zone ${name}`);
  return zone;
}
const wall = (text: string): Temporal.PlainDateTime => Temporal.PlainDateTime.from(text);
const date = (text: string): Temporal.PlainDate => Temporal.PlainDate.from(text);
/** An instant in UTC, to the minute where it is a whole one. */
const utc = (ms: number): string => new Date(ms).toISOString().replace(/:00\.000Z$/, "Z");
const hours = (ms: number): number => ms / 3_600_000;

test("the rules are of the release that the package carries", () => {
  expect(real.zoneRulesVersion).toBe("2026f");
});

describe("offsets", () => {
  test.each([
    ["America/Vancouver", "2026-12-15T16:30Z", -7],
    ["America/Edmonton", "2026-12-15T15:30Z", -6],
    ["America/Winnipeg", "2026-12-15T14:30Z", -5],
    ["America/Los_Angeles", "2026-12-15T17:30Z", -8],
    ["Canada/Pacific", "2026-12-15T16:30Z", -7], // A link.
    ["Asia/Seoul", "2026-12-15T00:00Z", 9],
    ["Asia/Kathmandu", "2026-12-15T00:00Z", 5.75],
    ["Etc/GMT+5", "2026-12-15T00:00Z", -5],
    ["UTC", "2026-12-15T00:00Z", 0],
    ["Europe/Berlin", "2026-03-29T00:59:59.999Z", 1],
    ["Europe/Berlin", "2026-03-29T01:00Z", 2],
    ["Europe/Berlin", "2098-07-01T00:00Z", 2],
    ["Africa/Monrovia", "1970-01-01T00:00Z", -44.5 / 60],
  ])("%s at %s: %d hours", (name, at, expected) => {
    expect(hours(zoneOf(name).offsetMsAt(Date.parse(at)))).toBe(expected);
  });

  test("what the clock shows", () => {
    expect(zoneOf("America/Vancouver").wallAt(Date.parse("2026-12-15T16:30Z")).toString()).toBe("2026-12-15T09:30:00");
  });

  test("the steps around an instant; a change of the name alone is none", () => {
    const berlin = zoneOf("Europe/Berlin");
    const at = Date.parse("2026-06-01T00:00Z");
    expect([berlin.stepUntil(at), berlin.stepAfter(at)].map((ms) => ms !== undefined && utc(ms))).toEqual([
      "2026-03-29T01:00Z",
      "2026-10-25T01:00Z",
    ]);
    expect(utc(berlin.stepUntil(Date.parse("2026-03-29T01:00Z")) ?? 0)).toBe("2026-03-29T01:00Z");
    expect([zoneOf("UTC").stepUntil(at), zoneOf("UTC").stepAfter(at)]).toEqual([undefined, undefined]);
    expect(zoneOf("America/Vancouver").stepAfter(at)).toBeUndefined();
  });
});

/** Zone, wall time, the instants for "compatible", "earlier" and "later". */
const readings: readonly (readonly [zone: string, wall: string, compatible: string, earlier: string, later: string])[] =
  [
    ["Europe/Berlin", "2026-03-29T01:59", "2026-03-29T00:59Z", "2026-03-29T00:59Z", "2026-03-29T00:59Z"],
    ["Europe/Berlin", "2026-03-29T02:00", "2026-03-29T01:00Z", "2026-03-29T00:00Z", "2026-03-29T01:00Z"],
    ["Europe/Berlin", "2026-03-29T02:30", "2026-03-29T01:30Z", "2026-03-29T00:30Z", "2026-03-29T01:30Z"],
    ["Europe/Berlin", "2026-03-29T03:00", "2026-03-29T01:00Z", "2026-03-29T01:00Z", "2026-03-29T01:00Z"],
    ["Europe/Berlin", "2026-10-25T01:59", "2026-10-24T23:59Z", "2026-10-24T23:59Z", "2026-10-24T23:59Z"],
    ["Europe/Berlin", "2026-10-25T02:00", "2026-10-25T00:00Z", "2026-10-25T00:00Z", "2026-10-25T01:00Z"],
    ["Europe/Berlin", "2026-10-25T02:30", "2026-10-25T00:30Z", "2026-10-25T00:30Z", "2026-10-25T01:30Z"],
    ["Europe/Berlin", "2026-10-25T03:00", "2026-10-25T02:00Z", "2026-10-25T02:00Z", "2026-10-25T02:00Z"],
    ["America/New_York", "2026-03-08T02:30", "2026-03-08T07:30Z", "2026-03-08T06:30Z", "2026-03-08T07:30Z"],
    ["America/New_York", "2026-11-01T01:30", "2026-11-01T05:30Z", "2026-11-01T05:30Z", "2026-11-01T06:30Z"],
    ["America/Vancouver", "2026-11-01T01:30", "2026-11-01T08:30Z", "2026-11-01T08:30Z", "2026-11-01T08:30Z"],
    ["Australia/Lord_Howe", "2026-10-04T02:15", "2026-10-03T15:45Z", "2026-10-03T15:15Z", "2026-10-03T15:45Z"],
    ["Australia/Lord_Howe", "2026-04-05T01:45", "2026-04-04T14:45Z", "2026-04-04T14:45Z", "2026-04-04T15:15Z"],
    ["Pacific/Apia", "2011-12-30T12:00", "2011-12-30T22:00Z", "2011-12-29T22:00Z", "2011-12-30T22:00Z"],
    ["UTC", "2026-03-29T02:30", "2026-03-29T02:30Z", "2026-03-29T02:30Z", "2026-03-29T02:30Z"],
  ];

function checkReadings(zones: Zones): void {
  for (const [name, text, compatible, earlier, later] of readings) {
    const zone = zoneOf(name, zones);
    expect({ name, text, compatible: utc(zone.instantOf(wall(text))) }).toEqual({ name, text, compatible });
    const others = (["compatible", "earlier", "later"] as const).map((each) => utc(zone.instantOf(wall(text), each)));
    expect([name, text, ...others]).toEqual([name, text, compatible, earlier, later]);
  }
}

test("instants of wall times, those that are skipped or shown twice included", () => checkReadings(real));

/** Zone, unit, an instant, and the span that it is in. */
const spans: readonly (readonly [zone: string, unit: real.LocalUnit, at: string, from: string, to: string])[] = [
  ["Europe/London", "day", "2026-03-29T12:00Z", "2026-03-29T00:00Z", "2026-03-29T23:00Z"],
  ["Europe/London", "day", "2026-10-25T12:00Z", "2026-10-24T23:00Z", "2026-10-26T00:00Z"],
  ["Europe/London", "day", "2026-10-26T00:00Z", "2026-10-26T00:00Z", "2026-10-27T00:00Z"],
  ["Africa/Cairo", "day", "2026-04-23T21:59Z", "2026-04-22T22:00Z", "2026-04-23T22:00Z"],
  ["Africa/Cairo", "day", "2026-04-23T22:00Z", "2026-04-23T22:00Z", "2026-04-24T21:00Z"],
  ["Pacific/Apia", "day", "2011-12-30T09:59Z", "2011-12-29T10:00Z", "2011-12-30T10:00Z"],
  ["Pacific/Apia", "day", "2011-12-30T10:00Z", "2011-12-30T10:00Z", "2011-12-31T10:00Z"],
  // 00:01 is 23:01 of the day before again.
  ["America/St_Johns", "day", "2010-11-07T02:30:30Z", "2010-11-07T02:30Z", "2010-11-08T03:30Z"],
  ["America/St_Johns", "day", "2010-11-07T03:00Z", "2010-11-07T02:30Z", "2010-11-08T03:30Z"],
  ["Asia/Seoul", "week", "2026-11-29T14:59Z", "2026-11-22T15:00Z", "2026-11-29T15:00Z"],
  ["Asia/Seoul", "week", "2026-11-29T15:00Z", "2026-11-29T15:00Z", "2026-12-06T15:00Z"],
  ["Europe/Berlin", "month", "2026-03-15T00:00Z", "2026-02-28T23:00Z", "2026-03-31T22:00Z"],
  ["Asia/Seoul", "year", "2026-12-31T15:00Z", "2026-12-31T15:00Z", "2027-12-31T15:00Z"],
  ["Asia/Kathmandu", "hour", "2026-01-01T00:00Z", "2025-12-31T23:15Z", "2026-01-01T00:15Z"],
  ["Europe/Berlin", "hour", "2026-10-25T00:30Z", "2026-10-25T00:00Z", "2026-10-25T01:00Z"],
  ["Europe/Berlin", "hour", "2026-10-25T01:30Z", "2026-10-25T01:00Z", "2026-10-25T02:00Z"],
  ["Europe/Berlin", "hour", "2026-03-29T00:59Z", "2026-03-29T00:00Z", "2026-03-29T01:00Z"],
  ["America/St_Johns", "hour", "2010-11-07T02:30:30Z", "2010-11-07T02:30Z", "2010-11-07T02:31Z"],
  ["Australia/Lord_Howe", "hour", "2026-04-04T14:59Z", "2026-04-04T14:00Z", "2026-04-04T15:00Z"],
  ["Australia/Lord_Howe", "hour", "2026-04-04T15:00Z", "2026-04-04T15:00Z", "2026-04-04T15:30Z"],
];

function checkSpans(zones: Zones): void {
  for (const [name, unit, at, from, to] of spans) {
    const { fromMs, toMs } = zoneOf(name, zones).spanAt(unit, Date.parse(at));
    expect([name, unit, at, utc(fromMs), utc(toMs)]).toEqual([name, unit, at, from, to]);
  }
}

test("hours, days, weeks, months and years, where the clock steps included", () => checkSpans(real));

test.each(["hour", "day", "week", "month", "year"] as const)("each %s begins where the one before ended", (unit) => {
  for (const name of ["Africa/Cairo", "America/St_Johns", "Australia/Lord_Howe", "Pacific/Apia", "Asia/Seoul"]) {
    const zone = zoneOf(name);
    let atMs = zone.spanAt(unit, Date.parse(unit === "hour" ? "2011-12-20T00:00Z" : "2009-05-05T05:05Z")).fromMs;
    for (let each = 0; each < 800; each += 1) {
      const { fromMs, toMs } = zone.spanAt(unit, atMs);
      expect([name, utc(fromMs)]).toEqual([name, utc(atMs)]);
      expect(zone.spanAt(unit, toMs - 1)).toEqual({ fromMs, toMs });
      atMs = toMs;
    }
  }
});

test("a day begins at midnight, or with what the clock shows instead", () => {
  const starts = [
    ["Africa/Cairo", "2026-04-24"],
    ["Pacific/Apia", "2011-12-30"],
    ["Pacific/Apia", "2011-12-31"],
    ["Europe/Berlin", "2026-07-01"],
  ].map(([name = "", text = ""]) => utc(zoneOf(name).startOfDay(date(text))));
  expect(starts).toEqual(["2026-04-23T22:00Z", "2011-12-30T10:00Z", "2011-12-30T10:00Z", "2026-06-30T22:00Z"]);
});

describe("names", () => {
  test("are the IANA database's, links included, in its spelling", () => {
    const known = [
      "Asia/Seoul",
      "ROK",
      "UTC",
      "Etc/GMT+5",
      "America/Argentina/ComodRivadavia",
      "Europe/Kiev",
      "Europe/Kyiv",
    ];
    expect(known.map((name) => real.zoneNamed(name)?.name)).toEqual(known);
    const unknown = [
      "asia/seoul",
      "Asia_Seoul",
      "+09:00",
      "Mars/Olympus",
      "",
      "Europe/Berlin ",
      "constructor",
      "KST",
      "Factory",
    ];
    expect(unknown.filter((name) => real.zoneNamed(name) !== undefined)).toEqual([]);
  });

  test("are found in any case, and nothing else is", () => {
    const texts = ["asia/seoul", "utc", "EUROPE/KIEV", "asia_seoul", "+09:00", "seoul", "", "__proto__"];
    expect(texts.map(real.zoneSpelling)).toEqual([
      "Asia/Seoul",
      "UTC",
      "Europe/Kiev",
      undefined,
      undefined,
      undefined,
      undefined,
      undefined,
    ]);
  });
});

/** Zones whose rules of 2000 to 2025 the runtime has as they are here. */
const sameInRuntime = ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Casablanca", "Asia/Beirut"];

test("instants and wall times are those of the runtime where its rules are the same", () => {
  for (const name of sameInRuntime) {
    const zone = zoneOf(name);
    const endMs = Date.parse("2025-12-31T00:00Z");
    const steps: number[] = [];
    for (let atMs = zone.stepAfter(Date.parse("2000-01-01T00:00Z")); atMs !== undefined && atMs < endMs;) {
      steps.push(atMs);
      atMs = zone.stepAfter(atMs);
    }
    expect(steps.length).toBeGreaterThan(40);
    for (const step of steps) {
      for (let minutes = -180; minutes <= 180; minutes += 15) {
        const shown = zone.wallAt(step + minutes * 60_000);
        const runtime = Temporal.Instant.fromEpochMilliseconds(step + minutes * 60_000).toZonedDateTimeISO(name);
        expect(shown.toString()).toBe(runtime.toPlainDateTime().toString());
        const skipped = wall(utc(step + minutes * 60_000).replace("Z", "")).add({
          milliseconds: zone.offsetMsAt(step - 1),
        });
        for (const disambiguation of ["compatible", "earlier", "later"] as const) {
          expect(utc(zone.instantOf(skipped, disambiguation))).toBe(
            utc(skipped.toZonedDateTime(name, { disambiguation }).epochMilliseconds),
          );
        }
      }
    }
  }
});

describe("a mutant is caught", () => {
  test.each([
    [
      "that takes the first offset of a zone for all time",
      "if (atMs < (stretches[middle] as Stretch).toMs)",
      "if (true)",
    ],
    ["that goes west for east", "0 - Math.round", "Math.round"],
    [
      "that reads a skipped time by the offset after it",
      'disambiguation === "earlier" ? firstMs : firstMs - 1',
      "firstMs",
    ],
    ["that knows one course of an hour only", 'disambiguation === "later" ?', "disambiguation === undefined ?"],
    ["that begins a day before the clock shows it", "Math.max(fromMs, wallMs - offsetMs)", "wallMs - offsetMs"],
    ["that begins a day a second time", "for (; toMs <= atMs;", "for (; toMs < 0;"],
    ["that makes an hour that is shown twice one", "Math.max(fromMs, stretch.fromMs)", "fromMs"],
    ["that lets an hour go on over a step", "Math.min(fromMs + hourMs, stretch.toMs)", "fromMs + hourMs"],
    ["that begins a week on Sunday", "date.dayOfWeek - 1", "date.dayOfWeek % 7"],
  ])("%s", async (_, from, to) => {
    const mutant = await importMutant<Zones>(join(import.meta.dir, "zones.ts"), from, to);
    await caught(() => {
      checkReadings(mutant);
      checkSpans(mutant);
    });
  });
});
