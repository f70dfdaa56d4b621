import { Code, ConnectError, type CallOptions, type HandlerContext, type Transport } from "@connectrpc/connect";
import { codeToString } from "@connectrpc/connect/protocol-connect";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SessionRevokedSchema } from "../../../gen/muin/identity/v1/session_events_pb.ts";
import { composeService } from "../../runtime/compose-service.ts";
import { everyInstance } from "../../service/consumption.ts";
import { defineService } from "../../service/define-service.ts";
import { background, on, serve } from "../../service/parts.ts";
import { systemClock } from "../../clock/clock.ts";
import { systemRandom } from "../../clock/random.ts";
import type { OpenBroker } from "../../events/broker-opener.ts";
import type { Subscription } from "../../events/broker.ts";
import type { EventRecord } from "../../service/event-record.ts";
import { silentMetrics } from "../../events/redis/redis-broker-fixture.ts";
import type { Caller } from "../../identity/caller.ts";
import { createCallTransport } from "../client/create-call-transport.ts";
import { createHttpTransport } from "../client/create-http-transport.ts";
import { createTracing } from "../../telemetry/tracing.ts";
import { planMethods } from "../call/plan.ts";
import { createLocalLane } from "../local/lane.ts";
import type { RpcAddresses } from "../server/server.ts";
import { ProbeService, type ProbeRequest } from "./probe_pb.ts";
import { probeAuthenticator, recordingLog, recordingObserver } from "./probe-service.ts";
import { startProbeServer } from "./start-probe-server.ts";

/** What the callee saw of one call. */
export interface SeenCall {
  /** What it was given, in milliseconds. */
  readonly timeoutMs: number | undefined;
  /** Resolves when its caller went away. */
  readonly canceled: Promise<void>;
  /** Lets it answer. */
  answer(): void;
}

/** A service that calls another one while it serves, while it handles an event, and beside both. */
export interface CallingService extends AsyncDisposable {
  readonly addresses: RpcAddresses;
  readonly inProcess: Transport;
  /** The next call that reaches the callee. */
  nextCall(): Promise<SeenCall>;
  /** How the last call ended that an answer did not wait for: "ok", or its error's code. */
  leftCall(): Promise<string>;
  /** A handler that calls after it failed may do so. */
  callLater(): void;
  /** Hands it an event. */
  handleEvent(): Promise<void>;
}

/** What the caller keeps of its own deadline, in milliseconds. */
export const timeoutMarginMs = 500;

/** How the caller reaches the callee. */
export type Carrier = "in process" | "over the wire";

const caller: Caller = { kind: "service", id: "front", principal: "service:front" };
const log = recordingLog([]);
const observer = recordingObserver([]);
const clock = systemClock;
const random = systemRandom;

async function* noReplies(): AsyncIterable<object> {}

const endOf = (call: Promise<unknown>): Promise<string> =>
  call.then(
    () => "ok",
    (error: unknown) => codeToString(ConnectError.from(error).code),
  );

/**
 * Starts it. Its handlers call as the request's `act` says: "named" names 300 ms, "follow" reads a stream, "peek" its first
 * reply only, "leave" answers without waiting, "fail" fails once the callee has the call, "later" fails and calls after that.
 * Its background work calls at its start.
 */
export async function startCallingService(carrier: Carrier): Promise<CallingService> {
  const seen: SeenCall[] = [];
  let waiting: ((call: SeenCall) => void) | undefined;
  let reached = Promise.withResolvers<void>();
  const see = async ({ act }: ProbeRequest, context: HandlerContext) => {
    if (act === "unseen") return {};
    const answered = Promise.withResolvers<void>();
    const canceled = new Promise<void>((resolve) => {
      if (context.signal.aborted) resolve();
      context.signal.addEventListener("abort", () => resolve(), { once: true });
    });
    const call = { timeoutMs: context.timeoutMs(), canceled, answer: () => answered.resolve() };
    if (waiting === undefined) seen.push(call);
    else waiting(call);
    waiting = undefined;
    reached.resolve();
    await Promise.race([answered.promise, canceled]);
    return {};
  };
  const stream = async function* stream(request: ProbeRequest, context: HandlerContext) {
    const last = see(request, context);
    if (request.act === "peek") yield {};
    yield await last;
  };
  const callee = serve(ProbeService, {
    fast: see,
    slow: see,
    lawless: see,
    look: () => ({}),
    stream,
    collect: async () => ({}),
    chat: noReplies,
  });
  const calleeServer = await startProbeServer({ served: [callee], authenticator: { authenticate: () => caller } });
  const folder = mkdtempSync(join(tmpdir(), "muin-calling-"));
  const tokenFile = join(folder, "token");
  writeFileSync(tokenFile, "token");

  let left = Promise.resolve("none was left");
  const failed = Promise.withResolvers<void>();
  const front = defineService({
    name: "front",
    summary: "Calls another.",
    serves: [ProbeService],
    calls: { callee: ProbeService },
    stores: {},
    publishes: [],
    consumes: [everyInstance(SessionRevokedSchema)],
    config: {},
    create: ({ calls: { callee } }) => {
      const call = (options: CallOptions = {}) => callee.slow({ name: "a" }, options);
      const callUnseen = () => callee.slow({ name: "a", act: "unseen" });
      const act = async (request: ProbeRequest) => {
        await Promise.resolve(); // What a handler does first matters to nobody.
        switch (request.act) {
          case "named":
            await call({ timeoutMs: 300 });
            break;
          case "follow":
            await Array.fromAsync(callee.stream({ name: "a" }));
            break;
          case "peek":
            for await (const _ of callee.stream({ name: "a", act: "peek" })) break;
            break;
          case "leave":
            left = endOf(callUnseen());
            break;
          case "fail":
            reached = Promise.withResolvers();
            left = endOf(call());
            await reached.promise;
            throw new ConnectError("it failed", Code.Aborted);
          case "later":
            left = endOf(failed.promise.then(callUnseen));
            throw new ConnectError("it failed", Code.Aborted);
          default:
            await call();
        }
        return { name: request.name };
      };
      return [
        serve(ProbeService, {
          fast: act,
          slow: act,
          lawless: act,
          look: () => ({}),
          stream: async function* stream(request) {
            yield await act(request);
          },
          collect: async () => ({}),
          chat: noReplies,
        }),
        on(SessionRevokedSchema, async () => {
          await call();
        }),
        background({
          name: "beside",
          start: async () => void endOf(call()),
          stop: async () => {},
        }),
      ];
    },
  });

  let subscription: Subscription | undefined;
  const broker = {
    subscribe: (to: Subscription) => {
      subscription = to;
      return { name: to.topic, start: async () => {}, stop: async () => {}, caughtUp: Promise.resolve() };
    },
  } as unknown as OpenBroker; // Events come from the test.
  const composed = composeService(front, {
    storeUrl: () => "",
    schemaUrl: () => "",
    config: () => ({}),
    transport: () =>
      createCallTransport({
        target: "callee",
        transport:
          carrier === "in process"
            ? createLocalLane(planMethods([callee]), { observer, log })(caller)
            : createHttpTransport({ url: calleeServer.addresses.http, tokenFile, clock }),
        observer,
        clock,
        random,
        metrics: silentMetrics,
        policy: { timeoutMarginMs },
      }),
    grants: () => ({ dataRole: "" }),
    personalData: () => ({ names: [], exportFrom: () => Promise.resolve(undefined) }),
    broker,
    leases: { leaseholder: () => ({ name: "none", start: async () => {}, stop: async () => {} }) },
    clock,
    random,
    log,
    metrics: silentMetrics,
    tracing: createTracing({
      endpoint: undefined,
      sampleRatio: 0,
      service: "front",
      version: "0",
      instance: "i",
      log,
    }),
  });
  await composed.start();
  await composed.up;
  const plans = planMethods(composed.served);
  const server = await startProbeServer({ plans });
  return {
    addresses: server.addresses,
    inProcess: createLocalLane(plans, { observer, log })(await probeAuthenticator.authenticate("Bearer good")),
    nextCall: () => {
      const call = seen.shift();
      return call === undefined ? new Promise((resolve) => (waiting = resolve)) : Promise.resolve(call);
    },
    leftCall: () => left,
    callLater: () => failed.resolve(),
    handleEvent: async () => {
      if (subscription === undefined) throw new Error("front subscribes to nothing");
      const record: EventRecord = {
        id: "e1",
        source: "/muin/auth",
        type: SessionRevokedSchema.typeName,
        subject: "s1",
        topic: subscription.topic,
        timeMs: clock.now(),
        traceparent: "",
        data: new Uint8Array(),
      };
      await subscription.handle(record, { generation: 0, attempt: 1, signal: new AbortController().signal });
    },
    [Symbol.asyncDispose]: async () => {
      await server.stop();
      await composed.stop();
      await calleeServer.stop();
      rmSync(folder, { recursive: true });
    },
  };
}
