import { expect, test } from "bun:test";
import { join } from "node:path";
import { caught, importMutant } from "../testing/mutant.ts";
import { provideTzdata } from "../testing/tzdata-wheel.ts";
import * as real from "./zones.ts";

type Zones = typeof real;
/** An offset with the instant from which it holds, both in seconds. */
type Step = readonly [fromSecond: number, offsetSeconds: number];

const [begin, end] = [Date.parse("2024-01-01T00:00Z") / 1000, Date.parse("2031-01-01T00:00Z") / 1000];
/** What the database has for machines whose zone nobody has set. */
const noPlace = "Factory";
/** Fetching the wheel for the first time, and reading it, in milliseconds. */
const compareMsMax = 5 * 60_000;

/** What `tzdata` says. */
async function expected(): Promise<{ version: string; zones: Record<string, readonly Step[]> }> {
  const script = join(import.meta.dir, "testdata/offsets.py");
  const command = ["python3", script, await provideTzdata(), `${begin}`, `${end}`];
  const child = Bun.spawn(command, { stdio: ["ignore", "pipe", "inherit"] });
  return (await new Response(child.stdout).json()) as Awaited<ReturnType<typeof expected>>;
}

function stepsOf(name: string, { zoneNamed }: Zones): readonly Step[] | undefined {
  const zone = zoneNamed(name);
  if (zone === undefined) return undefined;
  const steps: Step[] = [[begin, zone.offsetMsAt(begin * 1000) / 1000]];
  for (let atMs = zone.stepAfter(begin * 1000); atMs !== undefined && atMs < end * 1000; atMs = zone.stepAfter(atMs)) {
    steps.push([atMs / 1000, zone.offsetMsAt(atMs) / 1000]);
  }
  return steps;
}

test(
  "every zone and link of PyPI's tzdata has the same offsets from 2024 to 2030, of the same release",
  async () => {
    const { version, zones } = await expected();
    expect(version).toBe(real.zoneRulesVersion);
    expect(zones[noPlace]).toEqual([[begin, 0]]);
    delete zones[noPlace];
    expect(Object.keys(zones).length).toBeGreaterThan(590);
    expect(zones["America/Vancouver"]?.length).toBeGreaterThan(4);
    const check = (of: Zones): void => {
      expect(Object.fromEntries(Object.keys(zones).map((name) => [name, stepsOf(name, of)]))).toEqual(zones);
    };
    check(real);
    const mutants = [
      ["untils[index] ?? Number.POSITIVE_INFINITY", "(untils[index] ?? 0) + 3_600_000"], // Every step an hour late.
      ["zoneSpelling(name) === name", 'name !== "Europe/Kiev" && zoneSpelling(name) === name'], // Without a link.
    ] as const;
    for (const [from, to] of mutants) {
      const mutant = await importMutant<Zones>(join(import.meta.dir, "zones.ts"), from, to);
      await caught(() => check(mutant));
    }
  },
  compareMsMax,
);
