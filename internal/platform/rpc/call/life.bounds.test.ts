import { expect, test } from "bun:test";
import { systemClock } from "../../clock/clock.ts";
import { importMutant } from "../../testing/mutant.ts";
import { createProbeService, probeAuthenticator, recordingLog, recordingObserver } from "../testdata/probe-service.ts";
import { defaultRpcLimits } from "./limits.ts";
import { createErrorMapper } from "./map-error.ts";
import { planMethods } from "./plan.ts";
import * as real from "./life.ts";

const plans = planMethods([createProbeService({ released: 0, address: "", timeoutMs: undefined })]);

/** How long a call may take whose caller names a deadline, and how long its body may be on its way, in milliseconds. */
function timesOf(
  { createCallLife }: typeof real,
  method: string,
  timeoutMs?: number,
  requestBytesMax?: number,
): { readonly timeoutMs: number; readonly bodyMs: number } {
  const life = createCallLife({
    authenticator: probeAuthenticator,
    observer: recordingObserver([]),
    errors: createErrorMapper("muin"),
    limits: defaultRpcLimits,
    clock: { ...systemClock, monotonic: () => 0 },
    log: recordingLog([]),
  });
  const found = plans.get(`/muin.probe.v1.ProbeService/${method}`)!;
  const plan = requestBytesMax === undefined ? found : { ...found, policy: { ...found.policy!, requestBytesMax } };
  const origin = {
    protocol: "connect",
    method: "POST",
    url: plan.path,
    header: new Headers({ authorization: "Bearer good" }),
    signal: undefined,
    address: () => "192.0.2.1",
  };
  const call = life.begin(plan, origin, { timeoutMs }, true);
  void life.admit(call); // Its caller is known at once.
  const times = { timeoutMs: call.deadline!.remainingMs(), bodyMs: call.bodyDeadline!.remainingMs() };
  life.end(call);
  return times;
}

test("where anybody may call, a call takes 30 s at the most, whatever its caller names", () => {
  expect([undefined, 1000, 30_001, 86_400_000].map((named) => timesOf(real, "Look", named).timeoutMs)).toEqual([
    30_000, 1000, 30_000, 30_000,
  ]);
  expect(timesOf(real, "Slow", 86_400_000).timeoutMs).toBe(86_400_000);
});

test("a body has 10 s for each MiB that its method takes", () => {
  expect(timesOf(real, "Look").bodyMs).toBe(10_000);
  expect(timesOf(real, "Slow", 86_400_000).bodyMs).toBe(10_000);
  expect(timesOf(real, "Slow", 86_400_000, 5_242_880).bodyMs).toBe(50_000);
});

test("a mutant that lets anybody name a day is noticed", async () => {
  const mutant = await importMutant<typeof real>(`${import.meta.dir}/life.ts`, "policy?.public === true", "false");
  expect(timesOf(mutant, "Look", 86_400_000).timeoutMs).toBe(86_400_000);
});

test("the bounds are those that the guide names", () => {
  expect(defaultRpcLimits).toMatchObject({
    callsInFlightMax: 8192,
    bodyBytesPerCallerMax: 67_108_864,
    bodyBytesMax: 268_435_456,
    anonymousCallsPerPeerMax: 64,
    anonymousCallsMax: 1024,
    anonymousStreamsPerPeerMax: 16,
    anonymousStreamsMax: 256,
    anonymousBodyBytesPerPeerMax: 1_048_576,
    anonymousBodyBytesMax: 16_777_216,
  });
});
