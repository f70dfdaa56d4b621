import { describe, expect, test } from "bun:test";
import { Code, ConnectError } from "@connectrpc/connect";
import { RetryInfoSchema } from "../../../internal/gen/google/rpc/error_details_pb.ts";
import type { Clock } from "../../../internal/platform/clock/clock.ts";
import { ConnectionRefused } from "./connection.ts";
import { createRepeat, type RepeatOptions } from "./repeat.ts";

const away = (): ConnectError => new ConnectError("away", Code.Unavailable);
const refused = (): ConnectError =>
  new ConnectError("refused", Code.Unavailable, undefined, undefined, new ConnectionRefused("refused"));
const full = (again: boolean): ConnectError =>
  new ConnectError("full", Code.ResourceExhausted, undefined, again ? [{ desc: RetryInfoSchema, value: {} }] : []);

/** Time that passes only in pauses, and no chance. */
function untimed() {
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
  return { clock, random, pauses };
}

/** Runs a call that fails with these errors and then succeeds; time passes only in pauses. */
async function attempts(errors: readonly Error[], options: RepeatOptions & { readonly signal?: AbortSignal } = {}) {
  const { clock, random, pauses } = untimed();
  let made = 0;
  const { signal = new AbortController().signal } = options;
  const result = await createRepeat({ clock, random, signal })(
    () => {
      const error = errors[made++];
      return error === undefined ? Promise.resolve("done") : Promise.reject(error);
    },
    { withinMs: 1000, ...options },
  ).catch((error: unknown) => (error instanceof ConnectError ? error.rawMessage : (error as Error).name));
  return { result, made, pauses };
}

describe("repeat", () => {
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

  test("an attempt that fails after the interruption is the last", async () => {
    const interruption = new AbortController();
    let made = 0;
    const call = createRepeat({ ...untimed(), signal: interruption.signal })(() => {
      made++;
      interruption.abort();
      return Promise.reject(away());
    });
    expect(await call.catch((error: unknown) => error)).toMatchObject({ rawMessage: "away" });
    expect(made).toBe(1);
  });

  test("no attempt is made after an interruption in a pause", async () => {
    const interruption = new AbortController();
    const onPause = (): void => interruption.abort();
    const result = await attempts([away()], { signal: interruption.signal, onPause });
    expect(result).toEqual({ result: "AbortError", made: 1, pauses: [50] });
  });
});
