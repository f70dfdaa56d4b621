import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { importMutant } from "../../testing/mutant.ts";
import type { RpcLimits } from "./limits.ts";
import type { RpcServerOptions } from "../server/server.ts";
import { foreignName, lanes, type Lane, type Outcome, type ProbeCall } from "../testdata/probe-lanes.ts";
import { createProbeService } from "../testdata/probe-service.ts";
import * as real from "../testdata/start-probe-server.ts";
import { planMethods } from "./plan.ts";
import type { ProbeServer } from "../testdata/start-probe-server.ts";

setDefaultTimeout(20_000);

type Start = (typeof real)["startProbeServer"];

/** A call, what its caller learns in every lane, and where that holds. An outcome without message leaves it to the protocol. */
type Case = readonly [
  name: string,
  call: ProbeCall,
  outcome: Outcome,
  where?: {
    readonly limits?: Partial<RpcLimits>;
    readonly except?: readonly string[];
    /** Made before, and ended. */
    readonly after?: ProbeCall;
  },
];

const hanging: ProbeCall = { credentials: "good", request: { name: "a", act: "hang" } };
const late: Outcome = {
  code: "deadline_exceeded",
  message: "the operation timed out",
  reason: "DEADLINE_EXCEEDED",
};

const cases: readonly Case[] = [
  [
    "a call that may be made",
    { credentials: "good", request: { name: "abc", amount: 5n } },
    { code: "ok", reply: { name: "abc", amount: "5", principal: "api_key:k1" }, header: null, trailer: null },
  ],
  [
    "a service, admitted by kind",
    { credentials: "service" },
    { code: "ok", reply: { name: "a", amount: "1", principal: "service:count-write" }, header: null, trailer: null },
  ],
  [
    "a service whose declaration does not name the method",
    { credentials: "undeclared" },
    {
      code: "permission_denied",
      message: "the declaration of the service that calls does not name this method",
      reason: "CALL_NOT_DECLARED",
      metadata: { service: "stranger" },
    },
  ],
  [
    "a service whose declaration does not name the public method",
    { credentials: "undeclared", method: "look" },
    {
      code: "permission_denied",
      message: "the declaration of the service that calls does not name this method",
      reason: "CALL_NOT_DECLARED",
      metadata: { service: "stranger" },
    },
  ],
  [
    "a caller who is known only later",
    { credentials: "later-good" },
    { code: "ok", reply: { name: "a", amount: "1", principal: "api_key:k1" }, header: null, trailer: null },
  ],
  [
    "headers and trailers",
    { credentials: "good", request: { name: "a", act: "header" } },
    { code: "ok", reply: { name: "a", amount: "1", principal: "api_key:k1" }, header: "1", trailer: "2" },
  ],
  [
    "an Any in the reply",
    { credentials: "good", request: { name: "a", act: "any" } },
    {
      code: "ok",
      reply: {
        name: "a",
        amount: "1",
        principal: "api_key:k1",
        any: { "@type": "type.googleapis.com/muin.probe.v1.Part", text: "packed" },
      },
      header: null,
      trailer: null,
    },
  ],
  [
    "no credentials",
    {},
    {
      code: "unauthenticated",
      message: "send credentials in the header Authorization: Bearer <API key or access token>",
      reason: "CREDENTIALS_MISSING",
    },
  ],
  [
    "bad credentials",
    { credentials: "forged" },
    { code: "unauthenticated", message: "these credentials are not valid", reason: "CREDENTIALS_INVALID" },
  ],
  [
    "the wrong scope, with an invalid request",
    { credentials: "scopeless", request: { name: "INVALID" } },
    {
      code: "permission_denied",
      message: "the caller lacks the scope probe.use",
      reason: "SCOPE_MISSING",
      metadata: { scope: "probe.use" },
    },
  ],
  [
    "the wrong kind of caller",
    { credentials: "person" },
    {
      code: "permission_denied",
      message: "this kind of caller may not call this method",
      reason: "CALLER_KIND",
      metadata: { kind: "person" },
    },
  ],
  [
    "a method without policy",
    { credentials: "good", method: "lawless" },
    {
      code: "permission_denied",
      message: "this method has no policy, so nobody may call it",
      reason: "POLICY_MISSING",
    },
  ],
  [
    "an invalid request",
    { credentials: "good", request: { name: "Abc", amount: -10n, words: ["long word"] } },
    {
      code: "invalid_argument",
      message:
        "name: does not match regex pattern `^[a-z]+$`; amount: must be greater than or equal to -9 and less than or equal to 9007199254740991; words[0]: must be at most 4 characters",
      reason: "FIELD_INVALID",
      violations: ["name", "amount", "words[0]"],
    },
  ],
  [
    "Idempotency-Key as request_id",
    { credentials: "good", headers: { "idempotency-key": "12345678" } },
    {
      code: "ok",
      reply: { name: "a", amount: "1", requestId: "12345678", principal: "api_key:k1" },
      header: null,
      trailer: null,
    },
  ],
  [
    "an invalid Idempotency-Key",
    { credentials: "good", headers: { "idempotency-key": "short" } },
    {
      code: "invalid_argument",
      message: "request_id: must be at least 8 characters",
      reason: "FIELD_INVALID",
      violations: ["request_id"],
    },
  ],
  [
    "an Idempotency-Key that differs from request_id",
    {
      credentials: "good",
      headers: { "idempotency-key": "12345678" },
      request: { name: "a", requestId: "87654321" },
    },
    {
      code: "invalid_argument",
      message: "the header Idempotency-Key and the field request_id must be the same, or one of them absent",
      reason: "IDEMPOTENCY_KEY_DIFFERS",
      violations: ["request_id"],
    },
  ],
  [
    "an error of the domain",
    { credentials: "good", request: { name: "abc", act: "muin" } },
    {
      code: "not_found",
      message: "there is no such probe",
      reason: "PROBE_NOT_FOUND",
      metadata: { name: "abc" },
      retryAfterMs: 1500,
    },
  ],
  [
    "a handler that throws",
    { credentials: "good", request: { name: "a", act: "throw" } },
    { code: "internal", message: "internal error", reason: "INTERNAL" },
  ],
  [
    "a handler that rejects",
    { credentials: "good", request: { name: "a", act: "reject" } },
    { code: "internal", message: "internal error", reason: "INTERNAL" },
  ],
  [
    "an error of a downstream call",
    { credentials: "good", request: { name: "a", act: "downstream" } },
    { code: "aborted", message: "downstream says no", reason: "ABORTED" },
  ],
  [
    "a public method, without credentials",
    { method: "look" },
    { code: "ok", reply: { request: { name: "a" } }, header: null, trailer: null },
  ],
  [
    "a public method, with bad credentials",
    { method: "look", credentials: "forged" },
    { code: "unauthenticated", message: "these credentials are not valid", reason: "CREDENTIALS_INVALID" },
  ],
  [
    "an Idempotency-Key where there is no request_id",
    { method: "look", headers: { "idempotency-key": "12345678" } },
    {
      code: "invalid_argument",
      message: "this method has no request_id, so the header Idempotency-Key has no meaning here",
      reason: "IDEMPOTENCY_KEY_UNSUPPORTED",
    },
  ],
  ["a handler that ignores its deadline", { ...hanging, timeoutMs: 60 }, late],
  ["a handler that ignores its deadline, which is the server's", hanging, late, { limits: { timeoutMsDefault: 60 } }],
  [
    "a deadline beyond the longest",
    { credentials: "good", timeoutMs: 86_400_001 },
    { code: "invalid_argument", reason: "TIMEOUT_INVALID" },
    { except: ["in process"] }, // Whoever calls there is the program's own.
  ],
  [
    "a request beyond the largest",
    { credentials: "good", request: { name: "a", requestId: "x".repeat(1000) } },
    { code: "resource_exhausted", reason: "MESSAGE_TOO_LARGE" },
    { limits: { readBytesMax: 500 }, except: ["in process"] }, // Nothing is read there.
  ],
  [
    "a call after another one has ended",
    { method: "look" },
    { code: "ok", reply: { request: { name: "a" } }, header: null, trailer: null },
    { limits: { anonymousCallsMax: 1 }, after: { method: "look" } },
  ],
  [
    "a call beyond those in flight",
    { credentials: "good" },
    {
      code: "resource_exhausted",
      message: "the server has as many calls in flight as it takes; try again shortly",
      reason: "OVERLOADED",
      retryAfterMs: 100,
    },
    { limits: { callsInFlightMax: 0 }, except: ["in process"] }, // The call that causes it counts.
  ],
];

/** No answer takes as long, in milliseconds. */
const answerMsMax = 3000;
/** Nor one of a mutant, which may give none. */
const mutantAnswerMsMax = 2000;

/** The servers that the cases ask for, each with its lanes: one per set of limits. */
class Probes implements AsyncDisposable {
  readonly #start: Start;
  readonly #options: Partial<RpcServerOptions>;
  readonly #servers = new Map<string, Promise<ProbeServer>>();
  readonly #lanes = new Map<string, Lane>();

  constructor(start: Start, options: Partial<RpcServerOptions> = {}) {
    this.#start = start;
    this.#options = options;
  }

  /** The server with these limits; with `lane`, one that no other lane calls. */
  server(limits: Partial<RpcLimits> = {}, lane?: string): Promise<ProbeServer> {
    const key = JSON.stringify([limits, lane]);
    let server = this.#servers.get(key);
    if (server === undefined) this.#servers.set(key, (server = this.#start({ ...this.#options, limits })));
    return server;
  }

  /** The calls one after the other, and the outcome of the last. */
  async call(
    name: string,
    calls: readonly ProbeCall[],
    limits: Partial<RpcLimits> = {},
    msMax = answerMsMax,
  ): Promise<Outcome> {
    const alone = calls.length > 1 ? name : undefined;
    const key = JSON.stringify([limits, name, alone]);
    let lane = this.#lanes.get(key);
    if (lane === undefined) this.#lanes.set(key, (lane = lanes[name]!(await this.server(limits, alone))));
    let outcome: Outcome = { code: "no call" };
    for (const call of calls) {
      outcome = await Promise.race([lane.call(call), Bun.sleep(msMax).then(() => ({ code: "no answer" }))]);
    }
    return outcome;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const lane of this.#lanes.values()) lane[Symbol.dispose]();
    for (const server of this.#servers.values()) await (await server).stop();
  }
}

/** The cases that end otherwise in a lane, and how. */
async function failures(probes: Probes, lane: string, msMax?: number): Promise<[name: string, outcome: Outcome][]> {
  const failed: [string, Outcome][] = [];
  for (const [name, call, outcome, { limits, except = [], after } = {}] of cases) {
    if (except.includes(lane)) continue;
    const found = await probes.call(lane, after === undefined ? [call] : [after, call], limits, msMax);
    if (outcome.code !== "ok" && outcome.message === undefined) delete found.message;
    if (!Bun.deepEquals(found, outcome)) failed.push([name, found]);
  }
  return failed;
}

if (!(foreignName in lanes)) {
  if (process.env["CI"] !== undefined) throw new Error("there is no node on PATH for the foreign gRPC client");
  console.log(`${foreignName}: skipped: there is no node on PATH`);
}

describe.each(Object.keys(lanes))("%s", (lane) => {
  test("every case ends as the table says", async () => {
    await using probes = new Probes(real.startProbeServer);
    expect(await failures(probes, lane)).toEqual([]);
  });

  test("what the caller is not told is logged, and each call ends once with its code", async () => {
    await using probes = new Probes(real.startProbeServer);
    await probes.call(lane, [{ credentials: "good", request: { name: "a", act: "throw" } }]);
    await probes.call(lane, [{ credentials: "good" }]);
    const { lines, ended } = await probes.server();
    expect(lines).toHaveLength(1);
    expect((lines[0]!.fields as { err: Error }).err.message).toBe("secret text");
    expect(ended.map((line) => line.split(" ").at(-1))).toEqual(["internal", "ok"]);
  });
});

/** What tests start, from which a broken rule is reached. */
const entry = join(import.meta.dir, "../testdata/start-probe-server.ts");

/** What a lane answers for a service that is starting, to who may call and to who may not, and once it is up. */
async function starting(start: Start, lane: string): Promise<readonly Outcome[]> {
  let isUp = false;
  const seen = { released: 0, address: "", timeoutMs: undefined };
  const plans = planMethods([{ ...createProbeService(seen), owner: "probe", isUp: () => isUp }]);
  await using probes = new Probes(start, { plans });
  const before = [await probes.call(lane, [{ credentials: "good" }]), await probes.call(lane, [{}])];
  isUp = true;
  return [...before, await probes.call(lane, [{ credentials: "good" }])];
}

describe("a service that is starting", () => {
  test.each(Object.keys(lanes))("says so over %s, and serves once it is up", async (lane) => {
    const [refused, unknown, served] = await starting(real.startProbeServer, lane);
    expect(refused).toEqual({
      code: "unavailable",
      message: "probe is starting: try again in a moment",
      reason: "SERVICE_STARTING",
      retryAfterMs: 500,
    });
    expect(unknown).toMatchObject({ reason: "CREDENTIALS_MISSING" });
    expect(served).toMatchObject({ code: "ok" });
  });

  test("serves at once when nobody looks whether it is up", async () => {
    const mutant = await importMutant<typeof real>(join(import.meta.dir, "life.ts"), "!plan.isUp()", "false", [entry]);
    expect((await starting(mutant.startProbeServer, "gRPC, generic"))[0]).toMatchObject({ code: "ok" });
  });
});

/** One lane of each kind: what is broken in one of a kind is broken in all. */
const fast = "Connect binary, fast";
const generic = "Connect JSON, generic";
const own = [fast, "gRPC, fast", "REST"];
const library = [generic, "gRPC, generic"];
const wire = [...own, ...library];
const kinds = [...wire, "in process"];

/** A rule switched off, the cases that notice it, and in which lanes of `kinds` (default: all that have the case). */
type Broken = readonly [
  rule: string,
  file: string,
  from: string,
  to: string,
  noticed: readonly string[],
  where?: readonly string[],
];

const invalid = ["an invalid request", "an invalid Idempotency-Key"];
const ownDeadline = "a handler that ignores its deadline";
const serverDeadline = "a handler that ignores its deadline, which is the server's";
const known = [
  "a call that may be made",
  "a service, admitted by kind",
  "a caller who is known only later",
  "headers and trailers",
  "an Any in the reply",
];
const undeclared = [
  "a service whose declaration does not name the method",
  "a service whose declaration does not name the public method",
];
const refused = [
  "no credentials",
  "the wrong scope, with an invalid request",
  "the wrong kind of caller",
  "a method without policy",
];

const broken: readonly Broken[] = [
  [
    "without a policy nobody may call",
    "./authorize.ts",
    "if (policy === undefined) throw callErrors.policyMissing();",
    "if (policy === undefined) return;",
    ["a method without policy"],
  ],
  [
    "everybody may call what is public",
    "./authorize.ts",
    "if (policy.public) return admitDeclared(services, caller);",
    "",
    [
      "a public method, without credentials",
      "an Idempotency-Key where there is no request_id",
      "a call after another one has ended",
      "a service whose declaration does not name the public method",
    ],
  ],
  [
    "a service calls what it declares",
    "./authorize.ts",
    "services === undefined || services.has(caller.id)",
    "true",
    undeclared,
  ],
  [
    "a service calls what it declares, even if anybody may",
    "./authorize.ts",
    "if (policy.public) return admitDeclared(services, caller);",
    "if (policy.public) return;",
    ["a service whose declaration does not name the public method"],
  ],
  [
    "who shows no credentials is told",
    "./authorize.ts",
    `if (caller.kind === "anonymous") throw callErrors.credentialsMissing();`,
    "",
    ["no credentials"],
  ],
  [
    "the policy names kinds of callers",
    "./authorize.ts",
    "!policy.callers.includes(kinds[caller.kind])",
    "false",
    ["the wrong kind of caller"],
  ],
  [
    "services need no scopes",
    "./authorize.ts",
    `if (caller.kind === "service") return`,
    `if (caller.kind === "none") return`,
    ["a service, admitted by kind", "a service whose declaration does not name the method"],
  ],
  [
    "the policy names scopes",
    "./authorize.ts",
    "!caller.scopes.has(scope)",
    "false",
    ["the wrong scope, with an invalid request"],
  ],
  ["callers are authorised", "./admission.ts", "authorize(call.plan, caller);", "", [...refused, ...undeclared]],
  [
    "a handler knows its caller",
    "./admission.ts",
    "call.caller = caller;",
    "",
    [...known, "Idempotency-Key as request_id", "a call beyond those in flight"],
  ],
  [
    "a full server refuses",
    "./places.ts",
    "known >= limits.callsInFlightMax",
    "false",
    ["a call beyond those in flight"],
  ],
  [
    "a call that ended makes room",
    "./life.ts",
    "places.leave(call);",
    "",
    ["a call after another one has ended"],
    wire,
  ],
  ["requests are validated", "./accept-request.ts", "call.plan.validate(request);", "", invalid],
  [
    "Idempotency-Key is the request_id",
    "./accept-request.ts",
    "if (idempotencyKey !== null) applyIdempotencyKey",
    "if (idempotencyKey === undefined) applyIdempotencyKey",
    [
      "Idempotency-Key as request_id",
      "an invalid Idempotency-Key",
      "an Idempotency-Key that differs from request_id",
      "an Idempotency-Key where there is no request_id",
    ],
  ],
  [
    "Idempotency-Key is refused where it means nothing",
    "./accept-request.ts",
    "if (!plan.hasRequestId) throw callErrors.idempotencyKeyUnsupported();",
    "",
    ["an Idempotency-Key where there is no request_id"],
  ],
  [
    "Idempotency-Key and request_id agree",
    "./accept-request.ts",
    "target.requestId !== idempotencyKey",
    "false",
    ["an Idempotency-Key that differs from request_id"],
  ],
  [
    "a call waits until its caller is known",
    "./answer.ts",
    "if (admitted !== undefined) await admitted;",
    "",
    ["a caller who is known only later"],
    own,
  ],
  [
    "a call waits until its caller is known",
    "../universal/lane.ts",
    "if (admitted !== undefined) await admitted;",
    "",
    ["a caller who is known only later"],
    library,
  ],
  [
    "callers in process are admitted",
    "./admission.ts",
    "if (caller !== undefined) return admitCaller(call, caller);",
    "if (caller !== undefined) return;",
    [...known, ...refused, ...undeclared, "Idempotency-Key as request_id"],
    ["in process"],
  ],
  [
    "violations are told",
    "./map-error.ts",
    "if (thrown.violations.length > 0)",
    "if (false)",
    [...invalid, "an Idempotency-Key that differs from request_id"],
  ],
  [
    "when to come again is told",
    "./map-error.ts",
    "if (thrown.retryAfterMs !== undefined)",
    "if (false)",
    ["an error of the domain", "a call beyond those in flight"],
  ],
  [
    "metadata is told",
    "./map-error.ts",
    "inform(detailed(thrown), thrown.reason, thrown.metadata)",
    "inform(detailed(thrown), thrown.reason)",
    ["the wrong scope, with an invalid request", "the wrong kind of caller", "an error of the domain", ...undeclared],
  ],
  [
    "what broke inside is not told",
    "./map-error.ts",
    "if (!(thrown instanceof ProtocolFailure)) return hide(thrown);",
    "if (!(thrown instanceof ProtocolFailure)) return { error: ConnectError.from(thrown), hidden: thrown };",
    ["a handler that throws", "a handler that rejects"],
  ],
  [
    "every error has a reason",
    "./map-error.ts",
    "if (hasReason(thrown) || domain === undefined)",
    "if (true)",
    ["an error of a downstream call", ownDeadline, serverDeadline],
  ],
  [
    "the protocol's own errors have reasons that say what was wrong",
    "./map-error.ts",
    "[Code.ResourceExhausted]: callErrors.table.messageTooLarge.reason,",
    "",
    ["a request beyond the largest"],
  ],
  ["deadlines pass", "./deadlines.ts", "late.onLate(makeReason());", "", [serverDeadline]],
  [
    "the caller's deadline counts",
    "./life.ts",
    "named.error === undefined ? named.timeoutMs : undefined",
    "undefined as number | undefined",
    [ownDeadline],
  ],
  [
    "the server has a deadline",
    "./life.ts",
    'if (method.methodKind !== "unary") return timeoutMs;',
    "if (true) return timeoutMs;",
    [serverDeadline],
  ],
  ["a handler that hangs is answered for", "./life.ts", "call.onCut = onCut;", "", [ownDeadline, serverDeadline]],
  [
    "a deadline has a longest",
    "./admission.ts",
    "if (call.badTimeout !== undefined) throw callErrors.timeoutInvalid({ message: call.badTimeout.rawMessage });",
    "",
    ["a deadline beyond the longest"],
  ],
  [
    "a request has a largest",
    "./read-bytes.ts",
    "Number(length) <= bytesMax",
    "true",
    ["a request beyond the largest"],
    ["REST"],
  ],
];

describe("the table notices what is switched off", () => {
  test.each(broken)("%s (%s)", async (_, file, from, to, noticed, where = kinds) => {
    const path = join(import.meta.dir, file);
    const { startProbeServer } = await importMutant<typeof real>(path, from, to, [entry]);
    await using probes = new Probes(startProbeServer);
    const found = await Promise.all(
      kinds.map(async (lane): Promise<readonly [string, readonly string[]]> => [
        lane,
        (await failures(probes, lane, mutantAnswerMsMax)).map(([name]) => name),
      ]),
    );
    const inLane = (lane: string): readonly string[] =>
      cases
        .filter(([name, , , { except = [] } = {}]) => noticed.includes(name) && !except.includes(lane))
        .map(([name]) => name);
    expect(found).toEqual(kinds.map((lane) => [lane, where.includes(lane) ? inLane(lane) : []]));
  });

  test("credentials that are believed unseen", async () => {
    const scopes = new Set(["probe.use"]);
    const believe = { authenticate: () => ({ kind: "api_key", id: "k1", principal: "api_key:k1", scopes }) as const };
    await using probes = new Probes(real.startProbeServer, { authenticator: believe });
    expect((await failures(probes, fast)).map(([name]) => name)).toEqual(
      expect.arrayContaining([
        "bad credentials",
        "the wrong scope, with an invalid request",
        "the wrong kind of caller",
      ]),
    );
  });
});
