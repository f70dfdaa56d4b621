import {
  Code,
  ConnectError,
  createClient,
  type CallOptions,
  type HandlerContext,
  type Transport,
} from "@connectrpc/connect";
import { codeToString } from "@connectrpc/connect/protocol-connect";
import { systemClock } from "../../clock/clock.ts";
import { systemRandom } from "../../clock/random.ts";
import type { Caller } from "../../identity/caller.ts";
import { serve } from "../../service/parts.ts";
import { createMetrics } from "../../telemetry/create-metrics.ts";
import { planMethods } from "../call/plan.ts";
import { createCallTransport } from "../client/create-call-transport.ts";
import { createHttpTransport } from "../client/create-http-transport.ts";
import { createLocalLane } from "../local/lane.ts";
import type { RpcAddresses } from "../server/server.ts";
import { ProbeService, type ProbeRequest } from "./probe_pb.ts";
import { probeAuthenticator, probeCallers, recordingLog, recordingObserver } from "./probe-service.ts";
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
  /** Does what its event handler does. */
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

  let left = Promise.resolve("none was left");
  const failed = Promise.withResolvers<void>();
  const target = createClient(
    ProbeService,
    createCallTransport({
      target: "callee",
      transport:
        carrier === "in process"
          ? createLocalLane(planMethods([callee], { serviceCallers: probeCallers }), { observer, log })(caller)
          : createHttpTransport({ url: calleeServer.addresses.http, token: () => Promise.resolve("token") }),
      observer,
      clock,
      random,
      metrics: createMetrics(),
      policy: { timeoutMarginMs },
    }),
  );
  const call = (options: CallOptions = {}) => target.slow({ name: "a" }, options);
  const callUnseen = () => target.slow({ name: "a", act: "unseen" });
  const act = async (request: ProbeRequest) => {
    await Promise.resolve(); // What a handler does first matters to nobody.
    switch (request.act) {
      case "named":
        await call({ timeoutMs: 300 });
        break;
      case "follow":
        await Array.fromAsync(target.stream({ name: "a" }));
        break;
      case "peek":
        for await (const _ of target.stream({ name: "a", act: "peek" })) break;
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
  const front = serve(ProbeService, {
    fast: act,
    slow: act,
    lawless: act,
    look: () => ({}),
    stream: async function* stream(request) {
      yield await act(request);
    },
    collect: async () => ({}),
    chat: noReplies,
  });
  void endOf(call()); // Its background work's.
  const plans = planMethods([{ ...front, hot: [ProbeService.method.fast], callsOthers: true }]);
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
      await call();
    },
    [Symbol.asyncDispose]: async () => {
      await server.stop();
      await calleeServer.stop();
    },
  };
}
