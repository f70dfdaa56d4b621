import { expect, test } from "bun:test";
import { createPrimaryClock } from "./primary-clock.ts";

/** The primary's clock shows 1 000 000 where this machine's shows 500 and its monotonic clock 100. */
const seen = () => {
  const clock = createPrimaryClock({ now: () => 500, monotonic: () => 100 });
  clock.observe(1_000_000, 100);
  return clock;
};

test("agrees with this machine's clock until it was seen", () => {
  const clock = createPrimaryClock({ now: () => 500, monotonic: () => 100 });
  expect(clock.atMost(150)).toBe(550);
});

test("goes on at the pace of the monotonic clock, never too low", () => {
  expect(seen().atMost(350)).toBe(1_000_251);
});

test("follows a step forward at the first heartbeat of the new time, and a step back when the clock is looked at", () => {
  const clock = seen();
  clock.observePast(2_000_000, 200);
  expect(clock.atMost(300)).toBe(2_000_100);
  clock.observe(900_000, 400);
  expect(clock.atMost(400)).toBe(900_001);
});

test("does not go back for an old heartbeat", () => {
  const clock = seen();
  clock.observePast(999_000, 200);
  expect(clock.atMost(200)).toBe(1_000_101);
});
