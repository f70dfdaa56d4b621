import { join } from "node:path";
import { describe, expect, test } from "bun:test";
import { systemClock } from "../../../internal/platform/clock/clock.ts";
import { caught, importMutant } from "../../../internal/platform/testing/mutant.ts";
import { walk, walkerOf, type Answer, type Visit, type WalkPlan } from "./walk.ts";

const plan: WalkPlan = { seed: 7, people: 20, rate: 1000, seconds: 0.2, strangers: 0.25 };
const memberIdOf = (person: number): string => `member-${person}`;
const forever = new AbortController().signal;

type Walk = typeof walk;

/** A clock on which time passes only while somebody sleeps. */
function quickClock() {
  let now = 0;
  return {
    monotonic: () => now,
    sleep: (ms: number) => {
      now += ms;
      return Promise.resolve();
    },
    pass: (ms: number) => {
      now += ms;
    },
  };
}

describe("a walk", () => {
  test("brings the same people for the same seed, strangers in their share", () => {
    const walkers = Array.from({ length: 4000 }, (_, index) => walkerOf(plan, index));
    expect(walkers).toEqual(Array.from({ length: 4000 }, (_, index) => walkerOf(plan, index)));
    const strangers = walkers.filter(({ kind }) => kind === "stranger").length;
    expect(Math.abs(strangers / 4000 - 0.25)).toBeLessThan(0.03);
    const numbers = new Set(walkers.flatMap(({ kind, number }) => (kind === "enrolled" ? [number] : [])));
    expect([...numbers].toSorted((one, other) => one - other)).toEqual(Array.from({ length: 20 }, (_, index) => index));
    expect(new Set(walkers.map(({ photograph }) => photograph)).size).toBe(4000);
    expect(walkers.map(({ photograph }) => photograph)).not.toContain(0);
  });

  const tells = async (walk: Walk): Promise<void> => {
    const answers = (kind: string, number: number): Answer => {
      if (kind === "stranger") return number % 2 === 0 ? denied : { ...granted, memberId: memberIdOf(1) };
      if (number === 3) return denied;
      if (number === 4) return { kind: "refused", reason: "DEVICE_LOCKED_OUT" };
      return { ...granted, memberId: memberIdOf(number === 5 ? 6 : number) };
    };
    const visits: Visit[] = [];
    const result = await walk(plan, {
      clock: quickClock(),
      signal: forever,
      memberIdOf,
      ask: ({ kind, number }) => Promise.resolve(answers(kind, number)),
      onVisit: (visit) => visits.push(visit),
    });
    const of = (is: (visit: Visit) => boolean): number => visits.filter(is).length;
    const enrolled = (number: number): number =>
      of(({ walker }) => walker.kind === "enrolled" && walker.number === number);
    const strangersIn = of(({ walker }) => walker.kind === "stranger" && walker.number % 2 === 1);
    expect(result).toMatchObject({
      visits: 200,
      turnedAway: enrolled(3),
      refused: enrolled(4),
      mistaken: enrolled(5),
      strangersGranted: strangersIn,
    });
    expect(result.granted + result.denied + result.refused).toBe(200);
    expect(result.reasons["DEVICE_LOCKED_OUT"]).toBe(enrolled(4));
    expect(of(({ right }) => !right)).toBe(enrolled(3) + enrolled(4) + enrolled(5) + strangersIn);
  };
  const granted = { kind: "granted", reason: "ADMITTED" } as const;
  const denied = { kind: "denied", reason: "NO_MATCH" } as const;

  test("tells right answers from wrong ones", () => tells(walk));

  const fromDue = async (walk: Walk): Promise<void> => {
    const clock = quickClock();
    let first = true;
    const took: number[] = [];
    const result = await walk(
      { ...plan, strangers: 0 },
      {
        clock,
        signal: forever,
        memberIdOf,
        // The door stands still for 50 ms at the first: those who were due meanwhile waited.
        ask: ({ number }) => {
          if (first) clock.pass(50);
          first = false;
          return Promise.resolve({ ...granted, memberId: memberIdOf(number) });
        },
        onVisit: ({ tookMs }) => took.push(tookMs),
      },
    );
    expect(took.filter((ms) => ms > 10).length).toBeGreaterThan(35);
    expect(result.maxMs).toBeGreaterThanOrEqual(50);
    expect(result.p50Ms).toBeLessThan(5);
  };

  test("counts the time from when somebody was due", () => fromDue(walk));

  test.each<[name: string, from: string, to: string, check: (walk: Walk) => Promise<void>]>([
    [
      "who enters as somebody else is right",
      'return answer.kind === "granted" && answer.memberId === memberIdOf(walker.number);',
      'return answer.kind === "granted";',
      tells,
    ],
    [
      "strangers may enter",
      'if (walker.kind === "stranger") return answer.kind !== "granted";',
      'if (walker.kind === "stranger") return true;',
      tells,
    ],
    ["a door that is late is not slow", "const tookMs = clock.monotonic() - dueMs;", "const tookMs = 0;", fromDue],
  ])("mutant: %s", async (_, from, to, check) => {
    const mutant = await importMutant<{ walk: Walk }>(join(import.meta.dir, "walk.ts"), from, to);
    await caught(() => check(mutant.walk));
  });

  test("ends early, with what there is, when it is told to", async () => {
    const interruption = new AbortController();
    const result = await walk(
      { ...plan, seconds: 3600, rate: 500 },
      {
        clock: systemClock,
        signal: interruption.signal,
        memberIdOf,
        ask: () => Promise.resolve(denied),
        onVisit: () => interruption.abort(),
      },
    );
    expect(result.visits).toBeGreaterThan(0);
    expect(result.visits).toBeLessThan(50);
  });
});
