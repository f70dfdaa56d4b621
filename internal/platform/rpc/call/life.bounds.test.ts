import { expect, test } from "bun:test";
import { systemClock } from "../../clock/clock.ts";
import { importMutant } from "../../testing/mutant.ts";
import { createProbeService, probeAuthenticator, recordingLog, recordingObserver } from "../testdata/probe-service.ts";
import { defaultRpcLimits } from "./limits.ts";
import { createErrorMapper } from "./map-error.ts";
import { planMethods } from "./plan.ts";
import * as real from "./life.ts";

const plans = planMethods([createProbeService({ released: 0, address: "", timeoutMs: undefined })]);

/** How long a call may take whose caller names a deadline, in milliseconds. */
function timeoutMsOf({ createCallLife }: typeof real, method: string, timeoutMs: number | undefined): number {
  const life = createCallLife({
    authenticator: probeAuthenticator,
    observer: recordingObserver([]),
    errors: createErrorMapper("muin"),
    limits: defaultRpcLimits,
    clock: { ...systemClock, monotonic: () => 0 },
    log: recordingLog([]),
  });
  const plan = plans.get(`/muin.probe.v1.ProbeService/${method}`)!;
  const origin = {
    protocol: "connect",
    method: "POST",
    url: plan.path,
    header: new Headers(),
    signal: undefined,
    address: () => "192.0.2.1",
  };
  const call = life.begin(plan, origin, { timeoutMs }, true);
  life.end(call);
  return call.deadline!.remainingMs();
}

test("where anybody may call, a call takes 30 s at the most, whatever its caller names", () => {
  expect([undefined, 1000, 30_001, 86_400_000].map((named) => timeoutMsOf(real, "Look", named))).toEqual([
    30_000, 1000, 30_000, 30_000,
  ]);
  expect(timeoutMsOf(real, "Slow", 86_400_000)).toBe(86_400_000);
});

test("a mutant that lets anybody name a day is noticed", async () => {
  const mutant = await importMutant<typeof real>(`${import.meta.dir}/life.ts`, "policy?.public === true", "false");
  expect(timeoutMsOf(mutant, "Look", 86_400_000)).toBe(86_400_000);
});
