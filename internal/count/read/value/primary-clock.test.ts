import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import * as fc from "fast-check";
import { importMutant } from "../../../platform/testing/mutant.ts";
import { createPrimaryClock } from "./primary-clock.ts";

/** The primary's clock shows 1 000 000 where this machine's shows 500 and its monotonic clock 100. */
const seen = () => {
  const clock = createPrimaryClock({ now: () => 500, monotonic: () => 100 });
  clock.observe(1_000_000, 100, 100);
  return clock;
};

test("agrees with this machine's clock until it was seen", () => {
  const clock = createPrimaryClock({ now: () => 500, monotonic: () => 100 });
  expect(clock.ageMsMax(450, 150)).toBe(100);
});

test("goes on at the pace of the monotonic clock, never too low", () => {
  expect(seen().ageMsMax(1_000_000, 350)).toBe(251);
});

test("says nothing of a heartbeat that lies ahead, and follows a step forward when the clock is looked at", () => {
  const clock = seen();
  expect(clock.ageMsMax(2_000_000, 200)).toBe(Infinity);
  clock.observe(2_000_050, 250, 251);
  expect(clock.ageMsMax(2_000_000, 300)).toBe(101);
});

test("follows a step back when the clock is looked at, once its heartbeats are surely of the new time", () => {
  const clock = seen();
  clock.observe(900_000, 400, 401);
  expect(clock.ageMsMax(1_000_200, 402)).toBe(Infinity); // From before the step, though it lies ahead.
  expect(clock.ageMsMax(900_001, 402)).toBe(Infinity); // From after it, or from long before.
  expect(clock.ageMsMax(1_000_303, 100_704)).toBe(2); // The old time had come to 1 000 302 at most.
});

test("takes a slow answer for what it is, not for a step", () => {
  const clock = seen();
  clock.observe(1_000_200, 200, 400);
  clock.observe(1_000_450, 450, 451);
  expect(clock.ageMsMax(1_000_440, 460)).toBe(21);
});

/** One thing that happens, and for how long the monotonic clock goes on before it. */
const happenings = fc.array(
  fc.record({
    passMs: fc.nat(5000),
    what: fc.oneof(
      { weight: 3, arbitrary: fc.constantFrom("beat", "look") },
      { weight: 1, arbitrary: fc.constantFrom(-3_600_000, -2000, 2000, 3_600_000) },
    ),
    /** Of a look: time on its way there and back. */
    wayMs: fc.tuple(fc.nat(50), fc.nat(50)),
  }),
  { minLength: 1, maxLength: 40 },
);

/** However the clock is stepped, and however late a replica is: no heartbeat is taken for younger than it is. */
function holdAges(create: typeof createPrimaryClock): void {
  const seed = Number(process.env["SEED"] ?? Date.now() % 2 ** 31);
  console.log(`seed ${seed}`);
  fc.assert(
    fc.property(happenings, (list) => {
      let at = 1000;
      let lookedAt = at;
      let offset = 1_000_000_000;
      const clock = create({ now: () => offset + at, monotonic: () => at });
      const beats: { readonly heartbeatMs: number; readonly at: number }[] = [];
      const look = ([there, back]: readonly [number, number]): void => {
        const sentAt = at;
        lookedAt = at;
        at += there;
        const timeMs = Math.floor(offset + at);
        at += back;
        clock.observe(timeMs, sentAt, at);
      };
      look([0, 0]);
      let isStepKnown = true;
      for (const { passMs, what, wayMs } of list) {
        at += passMs;
        if (what === "beat") beats.push({ heartbeatMs: Math.floor(offset + at), at });
        else if (what === "look") {
          look(wayMs);
          isStepKnown = true;
        } else {
          if (!isStepKnown) look(wayMs); // Two steps between two looks are not promised to be noticed.
          offset += what;
          isStepKnown = what < 0; // A step back does no harm before it is noticed.
        }
        for (const beat of beats) {
          const ageMs = isStepKnown || beat.at < lookedAt ? at - beat.at : 0;
          expect(clock.ageMsMax(beat.heartbeatMs, at)).toBeGreaterThanOrEqual(ageMs);
        }
      }
    }),
    { seed, numRuns: 300 },
  );
}

describe("no heartbeat is taken for younger than it is", () => {
  test("whichever way the clock is stepped", () => holdAges(createPrimaryClock));

  test.each([
    ["a heartbeat that lies ahead", "ageMs < 0 ||", ""],
    ["a heartbeat from before a step back", "|| heartbeatMs <= doubtfulMs", ""],
  ])("which is caught without the rule for %s", async (_, from, to) => {
    type Module = { readonly createPrimaryClock: typeof createPrimaryClock };
    const mutant = await importMutant<Module>(join(import.meta.dir, "primary-clock.ts"), from, to);
    expect(() => holdAges(mutant.createPrimaryClock)).toThrow("Property failed");
  });
});
