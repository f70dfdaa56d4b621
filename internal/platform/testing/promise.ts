import { expect } from "bun:test";

import { promisedMark } from "./promised-mark.ts";

/** A busy machine may take so many times as long as is promised; beyond, something is wrong. */
const patience = 5;

/**
 * Reports how long something took for which a time is promised, in milliseconds. Fails at five times the promise: what a test measures is
 * the machine too, and whether the promise is kept on a good one is read in the report.
 */
export function expectPromised(promise: string, promisedMs: number, tookMs: number, print = console.log): void {
  print(`${promisedMark}${promise} within ${promisedMs} ms: took ${Math.round(tookMs)} ms`);
  expect({ promise, tookMs: tookMs < patience * promisedMs ? "in time" : tookMs }).toEqual({
    promise,
    tookMs: "in time",
  });
}

/**
 * Asks again and again until `isKept` says so, and reports how long it took: from now until the last question began that was answered
 * otherwise, for a question that was asked in time may be answered late.
 */
export async function untilPromised(
  promise: string,
  promisedMs: number,
  isKept: () => Promise<boolean>,
  print = console.log,
): Promise<void> {
  const sinceMs = performance.now();
  let lateMs = 0;
  for (;;) {
    const beganMs = performance.now();
    if (await isKept()) break;
    lateMs = beganMs - sinceMs;
    if (lateMs >= patience * promisedMs) break;
  }
  expectPromised(promise, promisedMs, lateMs, print);
}
