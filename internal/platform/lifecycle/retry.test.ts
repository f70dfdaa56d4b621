import { expect, test } from "bun:test";
import { systemClock } from "../clock/clock.ts";
import { retry, type RetryOptions } from "./retry.ts";
import { timeout, TimeoutError } from "./timeout.ts";

/** Keeps the pauses instead of waiting; time passes by them alone. */
function paused(options: Partial<RetryOptions> = {}): { pauses: number[]; options: RetryOptions } {
  const pauses: number[] = [];
  let now = 0;
  const clock = {
    monotonic: () => now,
    sleep: (ms: number, signal?: AbortSignal) => {
      if (signal?.aborted === true) return Promise.reject(signal.reason as Error);
      pauses.push(ms);
      now += ms;
      return Promise.resolve();
    },
  };
  const random = { uuid: () => "", bytes: () => new Uint8Array(), fraction: () => 1 };
  return { pauses, options: { clock, random, minMs: 100, maxMs: 400, isRetryable: () => true, ...options } };
}

function failing(times: number): (attempt: number) => Promise<number> {
  return (attempt) => (attempt <= times ? Promise.reject(new Error(`attempt ${attempt}`)) : Promise.resolve(attempt));
}

/** What a rejected promise says. */
function failureOf(work: Promise<unknown>): Promise<string> {
  return work.then(() => "succeeded", String);
}

test("tries until it succeeds, with pauses that double up to a bound", async () => {
  const { pauses, options } = paused();
  const told: unknown[] = [];
  const onPause = (error: unknown, attempt: number): void => void told.push([String(error), attempt]);
  expect(await retry(failing(4), { ...options, onPause })).toBe(5);
  expect(pauses).toEqual([100, 200, 400, 400]);
  expect(told[3]).toEqual(["Error: attempt 4", 4]);
});

test("throws at once what will not get better", async () => {
  const { pauses, options } = paused({ isRetryable: (error) => String(error) !== "Error: attempt 2" });
  expect(await failureOf(retry(failing(9), options))).toContain("attempt 2");
  expect(pauses).toEqual([100]);
});

test.each([
  ["attempts", { attemptsMax: 3 }, "attempt 3"],
  ["time", { withinMs: 299 }, "attempt 2"],
])("ends with the last error when its %s are used up", async (_, bound, message) => {
  const { options } = paused(bound);
  expect(await failureOf(retry(failing(9), options))).toContain(message);
});

test("waits as long as an error asks for, when that is longer", async () => {
  const { pauses, options } = paused({ pauseMsAfter: (error) => (String(error) === "Error: attempt 2" ? 1000 : 7) });
  expect(await retry(failing(3), options)).toBe(4);
  expect(pauses).toEqual([100, 1000, 400]);
});

test("an abort ends the pauses", async () => {
  const stopping = new AbortController();
  const { options } = paused({ signal: stopping.signal, onPause: () => stopping.abort(new Error("stopping")) });
  expect(await failureOf(retry(failing(9), options))).toContain("stopping");
});

test("work that settles in time settles as it does", async () => {
  expect(await timeout(systemClock, 60_000, Promise.resolve("done"))).toBe("done");
  expect(await failureOf(timeout(systemClock, 60_000, Promise.reject(new Error("broken"))))).toContain("broken");
});

test("late work is told and left", async () => {
  let told: unknown;
  const work = (signal: AbortSignal): Promise<never> => {
    signal.addEventListener("abort", () => (told = signal.reason));
    return new Promise(() => undefined);
  };
  const error = await timeout(systemClock, 1, work).catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(TimeoutError);
  expect(told).toBe(error);
});
