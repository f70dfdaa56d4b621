import { expect, test } from "bun:test";
import type { Component } from "./component.ts";
import { startPatiently } from "./start-patiently.ts";

/** A component that starts when it is told to, and a clock on which the time to wait has passed when it is told to. */
function createSlow() {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const slept = Promise.withResolvers<void>();
  const late: unknown[] = [];
  const component: Component = { name: "slow", start: () => promise, stop: () => Promise.resolve() };
  const patient = startPatiently(component, {
    waitMsMax: 100,
    clock: { sleep: () => slept.promise },
    failedLate: (error) => late.push(error),
  });
  return { patient, late, finish: resolve, fail: reject, timePasses: () => slept.resolve() };
}

test("a start is waited for", async () => {
  const { patient, finish } = createSlow();
  let isStarted = false;
  const starting = patient.start().then(() => (isStarted = true));
  await Promise.resolve();
  expect(isStarted).toBe(false);
  finish();
  await starting;
});

test("and no longer than it may take", async () => {
  const { patient, late, timePasses, fail } = createSlow();
  const starting = patient.start();
  timePasses();
  await starting;
  const error = new Error("late");
  fail(error);
  await Promise.resolve();
  expect(late).toEqual([error]);
});

test("one that fails in time rejects", async () => {
  const { patient, late, fail } = createSlow();
  const starting = patient.start();
  fail(new Error("at once"));
  expect(await starting.catch(String)).toBe("Error: at once");
  expect(late).toEqual([]);
});
