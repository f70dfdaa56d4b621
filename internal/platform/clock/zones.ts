import moment from "moment-timezone";

/** Which release of the IANA time zone database the rules are from, such as "2026f". They reach to the year 2499. */
export const zoneRulesVersion = moment.tz.dataVersion;

/** Units of local time that a span can be; a week begins on Monday. */
export type LocalUnit = "hour" | "day" | "week" | "month" | "year";

/**
 * What of a wall time that the clock shows twice, or skips: in turn its first or its second course; the skip's length before it or
 * after it. "compatible" is the first course, and after the skip (RFC 5545, section 3.3.5; the names are Temporal's).
 */
export type Disambiguation = "compatible" | "earlier" | "later";

/** A time zone by the rules of `zoneRulesVersion`. Instants are milliseconds since the Unix epoch. */
export interface Zone {
  /** In the IANA database's spelling; a link keeps its own name. */
  readonly name: string;
  /** By how much its clock is ahead of UTC, in milliseconds. */
  offsetMsAt(atMs: number): number;
  /** What its clock shows. */
  wallAt(atMs: number): Temporal.PlainDateTime;
  /** The instant at which its clock shows `wall`. Default: "compatible". */
  instantOf(wall: Temporal.PlainDateTime, disambiguation?: Disambiguation): number;
  /** The first instant at which its clock shows `wall` or later. */
  firstInstantOf(wall: Temporal.PlainDateTime): number;
  /** The first instant after the last one at which its clock shows less than `wall`. */
  endBefore(wall: Temporal.PlainDateTime): number;
  /** The first instant of a date: not midnight where the clock skips it. A date that it skips begins where the next one does. */
  startOfDay(date: Temporal.PlainDate): number;
  /**
   * The hour, day, week, month or year that an instant is in: from its first instant to that of the next, so that spans follow each
   * other without gap. Where the clock steps an hour ends, so one that is shown twice is two.
   */
  spanAt(unit: LocalUnit, atMs: number): { readonly fromMs: number; readonly toMs: number };
  /** The first instant after `atMs` at which the offset is another; `undefined` for none. */
  stepAfter(atMs: number): number | undefined;
  /** The last instant, `atMs` at the latest, from which the offset was another before; `undefined` for none. */
  stepUntil(atMs: number): number | undefined;
}

/** Instants from `fromMs` to before `toMs`, in which an offset holds. */
interface Stretch {
  readonly fromMs: number;
  readonly toMs: number;
  readonly offsetMs: number;
}

const hourMs = 3_600_000;
/** More than any offset. */
const dayMs = 24 * hourMs;
/** Wall times are reckoned in milliseconds from here. */
const wallEpoch = new Temporal.PlainDateTime(1970, 1, 1);

/** Zones by their names: at most as many as there are. */
const zones = new Map<string, Zone>();

/** The time zone of a name in the IANA database, links included, in its spelling there; `undefined` for any other text. */
export function zoneNamed(name: string): Zone | undefined {
  let zone = zones.get(name);
  if (zone === undefined && zoneSpelling(name) === name) {
    zone = createZone(name, stretchesOf(name));
    zones.set(name, zone);
  }
  return zone;
}

/** How the IANA database spells a time zone's name, given in any case; `undefined` when there is none of the name. */
export function zoneSpelling(name: string): string | undefined {
  const found = moment.tz.zone(name)?.name;
  return found?.toLowerCase() === name.toLowerCase() ? found : undefined; // To the package "_" and "/" are the same.
}

/** Stretches in order, from the beginning of time to its end; two that follow each other differ. */
function stretchesOf(name: string): readonly Stretch[] {
  const { untils, offsets } = moment.tz.zone(name) ?? { untils: [], offsets: [] };
  const stretches: Stretch[] = [];
  for (const [index, minutesWest] of offsets.entries()) {
    const toMs = untils[index] ?? Number.POSITIVE_INFINITY;
    const offsetMs = 0 - Math.round(minutesWest * 60) * 1000;
    const last = stretches.at(-1);
    if (last?.offsetMs === offsetMs) stretches[stretches.length - 1] = { ...last, toMs };
    else stretches.push({ fromMs: last?.toMs ?? Number.NEGATIVE_INFINITY, toMs, offsetMs });
  }
  return stretches;
}

function createZone(name: string, stretches: readonly Stretch[]): Zone {
  const stretchAt = (atMs: number): Stretch => stretches[indexAt(stretches, atMs)] as Stretch;

  const firstInstantOf = (wallMs: number): number => {
    for (let index = indexAt(stretches, wallMs - dayMs); ; index += 1) {
      const { fromMs, toMs, offsetMs } = stretches[index] as Stretch; // The last one has no end.
      const atMs = Math.max(fromMs, wallMs - offsetMs);
      if (atMs < toMs) return atMs;
    }
  };

  const endBefore = (wallMs: number): number => {
    for (let index = indexAt(stretches, wallMs + dayMs); ; index -= 1) {
      const { fromMs, toMs, offsetMs } = stretches[index] as Stretch; // The first one has no beginning.
      const endMs = Math.min(toMs, wallMs - offsetMs);
      if (endMs > fromMs) return endMs;
    }
  };

  const wallMsAt = (atMs: number): number => atMs + stretchAt(atMs).offsetMs;
  const wallAt = (atMs: number): Temporal.PlainDateTime => wallEpoch.add({ milliseconds: wallMsAt(atMs) });
  const startOfDay = (date: Temporal.PlainDate): number => firstInstantOf(wallMsOf(date.toPlainDateTime()));

  return {
    name,
    offsetMsAt: (atMs) => stretchAt(atMs).offsetMs,
    wallAt,
    instantOf: (wall, disambiguation = "compatible") => {
      const wallMs = wallMsOf(wall);
      const firstMs = firstInstantOf(wallMs);
      if (wallMsAt(firstMs) === wallMs) return disambiguation === "later" ? endBefore(wallMs + 1) - 1 : firstMs;
      // The clock skips it: the step is at `firstMs`.
      return wallMs - stretchAt(disambiguation === "earlier" ? firstMs : firstMs - 1).offsetMs;
    },
    firstInstantOf: (wall) => firstInstantOf(wallMsOf(wall)),
    endBefore: (wall) => endBefore(wallMsOf(wall)),
    startOfDay,
    spanAt: (unit, atMs) => {
      if (unit === "hour") {
        const stretch = stretchAt(atMs);
        const fromMs = Math.floor((atMs + stretch.offsetMs) / hourMs) * hourMs - stretch.offsetMs;
        return { fromMs: Math.max(fromMs, stretch.fromMs), toMs: Math.min(fromMs + hourMs, stretch.toMs) };
      }
      const step = { [`${unit}s`]: 1 };
      let first = firstDateOf(unit, wallAt(atMs).toPlainDate());
      let toMs = startOfDay(first.add(step));
      // Where the clock steps back over midnight, what it shows again belongs to the day that has begun.
      for (; toMs <= atMs; toMs = startOfDay(first.add(step))) first = first.add(step);
      return { fromMs: startOfDay(first), toMs };
    },
    stepAfter: (atMs) => finite(stretchAt(atMs).toMs),
    stepUntil: (atMs) => finite(stretchAt(atMs).fromMs),
  };
}

/** Where the stretch stands that an instant is in. */
function indexAt(stretches: readonly Stretch[], atMs: number): number {
  let low = 0;
  let high = stretches.length - 1;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (atMs < (stretches[middle] as Stretch).toMs) high = middle;
    else low = middle + 1;
  }
  return low;
}

function firstDateOf(unit: Exclude<LocalUnit, "hour">, date: Temporal.PlainDate): Temporal.PlainDate {
  switch (unit) {
    case "day":
      return date;
    case "week":
      return date.subtract({ days: date.dayOfWeek - 1 });
    case "month":
      return date.with({ day: 1 });
    case "year":
      return date.with({ month: 1, day: 1 });
  }
}

function wallMsOf(wall: Temporal.PlainDateTime): number {
  return wallEpoch.until(wall, { largestUnit: "milliseconds" }).milliseconds;
}

function finite(ms: number): number | undefined {
  return Number.isFinite(ms) ? ms : undefined;
}
