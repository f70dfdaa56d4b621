import { expect, setDefaultTimeout, test } from "bun:test";
import { Code, ConnectError } from "@connectrpc/connect";
import { systemClock } from "../../clock/clock.ts";
import type { Caller } from "../../identity/caller.ts";
import { identityErrors } from "../../identity/errors.ts";
import { importMutant } from "../../testing/mutant.ts";
import { defaultRpcLimits } from "./limits.ts";
import { createErrorMapper } from "./map-error.ts";
import { planMethods } from "./plan.ts";
import * as real from "./life.ts";
import { createProbeService, recordingLog, recordingObserver } from "../testdata/probe-service.ts";
import { expectPromised } from "../../testing/promise.ts";

setDefaultTimeout(20_000);

const caller: Caller = { kind: "api_key", id: "k1", principal: "api_key:k1", scopes: new Set(["probe.use"]) };
const refusal = identityErrors.credentialsInvalid();
const away = identityErrors.tokensUnavailable();

/** A stream whose caller is judged by `answer`; resolves with why it was ended, or `undefined` when it went on for `ms`. */
async function watched(
  { createCallLife }: Pick<typeof real, "createCallLife">,
  answer: () => Caller,
  ms: number,
): Promise<ConnectError | undefined> {
  const events = { released: 0, address: "", timeoutMs: undefined };
  const life = createCallLife({
    authenticator: { authenticate: async () => answer() },
    observer: recordingObserver([]),
    errors: createErrorMapper("muin"),
    limits: defaultRpcLimits,
    clock: systemClock,
    log: recordingLog([]),
  });
  const plan = planMethods([createProbeService(events)]).get("/muin.probe.v1.ProbeService/Stream");
  if (plan === undefined) throw new Error("the probe service has no stream");
  const header = new Headers({ authorization: "Bearer good" });
  const origin = { protocol: "connect", method: "POST", url: plan.path, header, signal: undefined, address: () => "" };
  const call = life.begin(plan, origin, {}, true);
  try {
    return await new Promise((resolve, reject) => {
      call.onCut = resolve;
      Promise.resolve(life.admit(call)).catch(reject);
      setTimeout(() => resolve(undefined), ms);
    });
  } finally {
    life.end(call);
  }
}

/** A caller who is admitted, may go on once, and is then judged by `after`. */
function twiceThen(after: () => Caller, onAsked?: () => void): () => Caller {
  let asked = 0;
  return () => {
    asked += 1;
    if (asked <= 2) onAsked?.();
    return asked <= 2 ? caller : after();
  };
}

const refuse = (): Caller => {
  throw refusal;
};
const scopeless = (): Caller => ({ ...caller, scopes: new Set() });
const cannotTell = (): Caller => {
  throw away;
};

test("a stream ends within a second of its caller's credentials, and of its scope", async () => {
  let goodAt = Number.NaN;
  const error = await watched(
    real,
    twiceThen(refuse, () => (goodAt = performance.now())),
    5000,
  );
  expect(error?.code).toBe(Code.Unauthenticated);
  expectPromised("a stream ends after its credentials", 1000, performance.now() - goodAt);
  expect((await watched(real, twiceThen(scopeless), 5000))?.code).toBe(Code.PermissionDenied);
});

test("while it cannot be told whether they are good, a stream goes on", async () => {
  let asked = 0;
  const counting = (): Caller => {
    asked += 1;
    return asked === 1 ? caller : cannotTell();
  };
  expect(await watched(real, counting, 1500)).toBeUndefined();
  expect(asked).toBeGreaterThan(2);
});

test("mutants that ask once, or take any failure for a refusal, are caught", async () => {
  const path = `${import.meta.dir}/admission.ts`;
  const entry = [`${import.meta.dir}/life.ts`];
  const lazy = await importMutant<typeof real>(path, "watchPeriodMs = 250", "watchPeriodMs = 60_000", entry);
  expect(await watched(lazy, twiceThen(refuse), 2000)).toBeUndefined();
  const strict = await importMutant<typeof real>(
    path,
    `if (error.code !== "unauthenticated" && error.code !== "permission_denied") continue;`,
    "",
    entry,
  );
  expect(await watched(strict, twiceThen(cannotTell), 1500)).toBeInstanceOf(ConnectError);
});
