import { expect, test } from "bun:test";
import type { Clock } from "../clock/clock.ts";
import { createLoop } from "./loop.ts";

test.each([
  [true, 5],
  [false, 4],
])("works at each turn, outlives a failure, and stops (with a last turn: %p)", async (atStop, turns) => {
  const asleep = Promise.withResolvers<void>();
  const slept: number[] = [];
  /** Three sleeps are over at once; the fourth lasts until it is woken. */
  const clock: Clock = {
    now: () => 0,
    monotonic: () => 0,
    sleep: (ms, signal) => {
      slept.push(ms);
      if (slept.length <= 3) return Promise.resolve();
      asleep.resolve();
      return new Promise((_, reject) => {
        signal?.addEventListener("abort", () => reject(signal.reason as Error));
      });
    },
  };
  const failures: unknown[] = [];
  let worked = 0;
  const work = (): Promise<void> => (++worked === 2 ? Promise.reject(new Error("once")) : Promise.resolve());
  const loop = createLoop({
    name: "loop",
    everyMs: 1000,
    atStop,
    clock,
    work,
    onFailure: (error) => failures.push(error),
  });
  await loop.start();
  await asleep.promise;
  await loop.stop();
  await loop.stop();
  expect({ worked, failures, slept }).toEqual({
    worked: turns,
    failures: [new Error("once")],
    slept: [1000, 1000, 1000, 1000],
  });
});
