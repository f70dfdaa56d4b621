import { expect, test } from "bun:test";
import { createHeldClock } from "./held-clock.ts";

test("a clock that is moved on by 500 ms shows 500 ms more, whenever the process began", async () => {
  const clock = createHeldClock();
  const before = clock.monotonic();
  await clock.pass(500);
  expect(clock.monotonic() - before).toBe(500);
  expect([Number.isInteger(before), Number.isInteger(clock.now())]).toEqual([true, true]);
});
