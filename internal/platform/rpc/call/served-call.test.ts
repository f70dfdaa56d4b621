import { createClient, type Transport } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport } from "@connectrpc/connect-node";
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { importMutant } from "../../testing/mutant.ts";
import * as real from "../testdata/calling-service.ts";
import { timeoutMarginMs, type CallingService, type Carrier, type SeenCall } from "../testdata/calling-service.ts";
import { ProbeService } from "../testdata/probe_pb.ts";

setDefaultTimeout(30_000);

type Start = (typeof real)["startCallingService"];

/** A call to the service that calls, as its handler's `act`. */
type Call = (act: string, options: { timeoutMs?: number; signal?: AbortSignal }) => Promise<unknown>;

const headers = { authorization: "Bearer good" };
const overConnect = ({ addresses }: CallingService): Transport =>
  createConnectTransport({ baseUrl: addresses.http, httpVersion: "1.1" });
const overGrpc = ({ addresses }: CallingService): Transport =>
  createGrpcTransport({ baseUrl: `http://${addresses.grpc}` });
const unary =
  (method: "fast" | "slow", transport: (service: CallingService) => Transport) =>
  (service: CallingService): Call =>
  (act, options) =>
    createClient(ProbeService, transport(service))[method]({ name: "a", act }, { headers, ...options });
const streamed =
  (transport: (service: CallingService) => Transport) =>
  (service: CallingService): Call =>
  (act, options) =>
    Array.fromAsync(createClient(ProbeService, transport(service)).stream({ name: "a", act }, { headers, ...options }));

const lanes: readonly [name: string, lane: (service: CallingService) => Call][] = [
  ["Connect, fast", unary("fast", overConnect)],
  ["Connect, generic", unary("slow", overConnect)],
  ["Connect, a stream", streamed(overConnect)],
  ["gRPC", unary("slow", overGrpc)],
  ["gRPC, a stream", streamed(overGrpc)],
  ["in process", unary("slow", ({ inProcess }) => inProcess)],
  ["in process, a stream", streamed(({ inProcess }) => inProcess)],
  [
    "REST",
    ({ addresses }) =>
      (act, { timeoutMs, signal }) =>
        fetch(`${addresses.http}/api/v1/probes/a`, {
          method: "POST",
          headers: {
            ...headers,
            "content-type": "application/json",
            ...(timeoutMs === undefined ? {} : { "connect-timeout-ms": String(timeoutMs) }),
          },
          body: JSON.stringify({ act }),
          ...(signal === undefined ? {} : { signal }),
        }),
  ],
];

/** How long a callee that nobody tells waits, in milliseconds, before a check gives up. */
const untoldMs = 700;

/** A rule for calls that a handler makes while it serves `call`: what is seen of it, and what that should be. */
type Rule = readonly [name: string, see: (service: CallingService, call: Call) => Promise<string>, holds: string];

/** Whether the callee is given between `least` and `most` milliseconds by a handler that has `timeoutMs` itself. */
function given(name: string, act: string, timeoutMs: number, least: number, most: number): Rule {
  const see: Rule[1] = async (service, call) => {
    const done = call(act, { timeoutMs });
    const callee = await service.nextCall();
    callee.answer();
    await done;
    return within(callee, least, most);
  };
  return [name, see, "within"];
}

const within = ({ timeoutMs = Infinity }: SeenCall, least: number, most: number): string =>
  timeoutMs >= least && timeoutMs <= most ? "within" : `${timeoutMs} is not within ${least} to ${most}`;

/** Whether the callee learns that the caller of its caller went away. */
function told(name: string, act: string): Rule {
  const see: Rule[1] = async (service, call) => {
    const leaving = new AbortController();
    const done = call(act, { signal: leaving.signal }).catch(() => undefined);
    const callee = await service.nextCall();
    leaving.abort();
    const seen = await Promise.race([callee.canceled.then(() => "told"), Bun.sleep(untoldMs).then(() => "not told")]);
    callee.answer();
    await done;
    return seen;
  };
  return [name, see, "told"];
}

const rules: readonly Rule[] = [
  given("has what is left of the deadline, less a margin", "", 3000, 1000, 3000 - timeoutMarginMs),
  given("has its own deadline when that is sooner", "named", 3000, 50, 300),
  given("has the default deadline when that is sooner", "", 20_000, 3100, 5000),
  given("has what is left of the deadline when it reads a stream", "follow", 3000, 1000, 3000 - timeoutMarginMs),
  told("is canceled when the caller goes away", ""),
  told("is canceled when the caller goes away while it reads a stream", "follow"),
  [
    "goes on when the answer did not wait for it",
    async (service, call) => {
      await call("leave", {});
      return service.leftCall();
    },
    "ok",
  ],
  [
    "ends when the handler fails without waiting for it",
    async (service, call) => {
      await call("fail", {}).catch(() => undefined);
      const callee = await service.nextCall();
      await Promise.race([callee.canceled, Bun.sleep(untoldMs)]);
      callee.answer();
      return (await service.leftCall()) === "ok" ? "went on" : "ended";
    },
    "ended",
  ],
  [
    "stands on its own when it begins after the handler failed",
    async (service, call) => {
      await call("later", {}).catch(() => undefined);
      service.callLater();
      return service.leftCall();
    },
    "ok",
  ],
  [
    "ends with the handler when it is a stream that was left",
    async (service, call) => {
      await call("peek", {});
      const callee = await service.nextCall();
      const seen = await Promise.race([callee.canceled.then(() => "told"), Bun.sleep(untoldMs).then(() => "not told")]);
      callee.answer();
      return seen;
    },
    "told",
  ],
];

/** The rules that do not hold, and what was seen instead. */
async function broken(start: Start, carrier: Carrier, lane: (service: CallingService) => Call) {
  await using service = await start(carrier);
  (await service.nextCall()).answer(); // Its background work's.
  const found: [rule: string, seen: string][] = [];
  for (const [name, see, holds] of rules) {
    const seen = await see(service, lane(service));
    if (seen !== holds) found.push([name, seen]);
  }
  return found;
}

describe.each(["in process", "over the wire"] as const)("a call made %s", (carrier) => {
  test.each(lanes)("while one is served by %s keeps the rules", async (_, lane) => {
    expect(await broken(real.startCallingService, carrier, lane)).toEqual([]);
  });

  test("in background work and in an event's handler has the default deadline", async () => {
    await using service = await real.startCallingService(carrier);
    const beside = await service.nextCall();
    beside.answer();
    const handled = service.handleEvent();
    const event = await service.nextCall();
    event.answer();
    await handled;
    expect([beside, event].map((call) => within(call, 3100, 5000))).toEqual(["within", "within"]);
  });
});

const fixture = join(import.meta.dir, "../testdata/calling-service.ts");
const transport = join(import.meta.dir, "../client/create-call-transport.ts");
const tracking = join(import.meta.dir, "served-call.ts");

describe("the rules notice", () => {
  const stream = "Connect, a stream";
  test.each([
    [
      "handlers that do not know what they serve",
      [join(import.meta.dir, "life.ts"), "plan.callsOthers", "false", [fixture]],
      "Connect, fast",
      [0, 3, 4, 5, 7, 9],
    ],
    [
      "the body of a stream that does not know what it serves",
      [tracking, "await serving.run(call, () => inner.next())", "await inner.next()", [fixture]],
      stream,
      [0, 3, 4, 5, 7, 9],
    ],
    ["a deadline that is not inherited", [transport, "servedCall()?.timeoutMs() ?? ", "", [fixture]], stream, [0, 3]],
    [
      "the deadline of what is served, though its own is sooner",
      [
        transport,
        "Math.min(timeoutMs, leftMs - policy.timeoutMarginMs)",
        "leftMs < Infinity ? leftMs - policy.timeoutMarginMs : timeoutMs",
        [fixture],
      ],
      stream,
      [1, 2],
    ],
    ["no margin", [transport, "leftMs - policy.timeoutMarginMs", "leftMs", [fixture]], stream, [0, 3]],
    [
      "a call that nobody cancels",
      [transport, "budgetMs, [signal, servedCall()?.signal]", "budgetMs, [signal]", [fixture]],
      stream,
      [4, 7],
    ],
    [
      "a stream that nobody cancels",
      [transport, "anyOf([signal, servedCall()?.ended])", "anyOf([signal])", [fixture]],
      stream,
      [5, 9],
    ],
    [
      "a stream that goes on when the handler has answered",
      [transport, "servedCall()?.ended", "servedCall()?.signal", [fixture]],
      stream,
      [9],
    ],
    [
      "an answer that takes down what goes on",
      [tracking, `if (this.state !== "answered") controller`, "controller", [fixture]],
      stream,
      [6],
    ],
    [
      "a failure that lets go on what it started",
      [tracking, "output.then(call.onAnswer, call.onFailure)", "output.then(call.onAnswer, call.onAnswer)", [fixture]],
      "Connect, fast",
      [7],
    ],
    [
      "a call that inherits from one that is over",
      [tracking, `call?.state === "open" ? call : undefined`, "call", [fixture]],
      "Connect, fast",
      [8],
    ],
  ] as const)("%s", async (_, [path, from, to, through], lane, noticed) => {
    const mutant = await importMutant<typeof real>(path, from, to, through);
    const [, on] = lanes.find(([name]) => name === lane)!;
    const found = await broken(mutant.startCallingService, "over the wire", on);
    expect(found.map(([name]) => name)).toEqual(noticed.map((index) => rules[index]![0]));
  });
});
