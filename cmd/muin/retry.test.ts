import { describe, expect, test } from "bun:test";
import { Code, ConnectError } from "@connectrpc/connect";
import { RetryInfoSchema } from "../../internal/gen/google/rpc/error_details_pb.ts";
import type { Clock } from "../../internal/platform/clock/clock.ts";
import { ConnectionRefused } from "./remote/connection.ts";
import { retry, type RetryOptions } from "./retry.ts";

const away = (): ConnectError => new ConnectError("away", Code.Unavailable);
const refused = (): ConnectError =>
  new ConnectError("refused", Code.Unavailable, undefined, undefined, new ConnectionRefused("refused"));
const full = (again: boolean): ConnectError =>
  new ConnectError("full", Code.ResourceExhausted, undefined, again ? [{ desc: RetryInfoSchema, value: {} }] : []);

/** Runs a call that fails with these errors and then succeeds; time passes only in pauses. */
async function attempts(errors: readonly Error[], options: Partial<RetryOptions> = {}) {
  let now = 0;
  const pauses: number[] = [];
  const clock: Clock = {
    now: () => now,
    monotonic: () => now,
    sleep: (ms) => {
      now += ms;
      pauses.push(ms);
      return Promise.resolve();
    },
  };
  const random = { bytes: (length: number) => new Uint8Array(length), uuid: () => "", fraction: () => 1 };
  let made = 0;
  const result = await retry(
    () => {
      const error = errors[made++];
      return error === undefined ? Promise.resolve("done") : Promise.reject(error);
    },
    { clock, random, signal: new AbortController().signal, boundMs: 1000, patient: false, ...options },
  ).catch((error: unknown) => (error as ConnectError).rawMessage);
  return { result, made, pauses };
}

describe("retry", () => {
  test("repeats what passes, with growing pauses", async () => {
    expect(await attempts([away(), full(true), new ConnectError("late", Code.DeadlineExceeded)])).toEqual({
      result: "done",
      made: 4,
      pauses: [50, 100, 200],
    });
  });

  test("ends with the last error at the bound", async () => {
    const { result, pauses } = await attempts(Array.from({ length: 99 }, away));
    expect(result).toBe("away");
    expect(pauses).toEqual([50, 100, 200, 400]);
  });

  test.each<[name: string, error: Error, made: number]>([
    ["what is wrong stays wrong", new ConnectError("wrong", Code.InvalidArgument), 1],
    ["what is exhausted for good is not asked again", full(false), 1],
    ["nobody is there at first", refused(), 1],
  ])("gives up at once: %s", async (_name, error, made) => {
    expect((await attempts([error])).made).toBe(made);
  });

  test("waits for who was there before, and when told to be patient", async () => {
    expect((await attempts([away(), refused()])).result).toBe("done");
    expect((await attempts([refused()], { patient: true })).result).toBe("done");
  });

  test("stops when interrupted", async () => {
    expect(await attempts([away()], { signal: AbortSignal.abort() })).toMatchObject({ result: "away", made: 1 });
  });
});
