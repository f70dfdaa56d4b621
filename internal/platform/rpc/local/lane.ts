import type { DescMessage, DescMethod, Message } from "@bufbuild/protobuf";
import { Code, ConnectError, type StreamResponse, type Transport, type UnaryResponse } from "@connectrpc/connect";
import { createMethodUrl } from "@connectrpc/connect/protocol";
import { systemClock, type Clock } from "../../clock/clock.ts";
import type { Caller } from "../../identity/caller.ts";
import type { CallObserver } from "../../telemetry/call-observer.ts";
import type { Logger } from "../../telemetry/logger.ts";
import { answer } from "../call/answer.ts";
import { CallContext } from "../call/call-context.ts";
import type { Call } from "../call/call.ts";
import { createCallLife, type CallLife } from "../call/life.ts";
import { defaultRpcLimits, type RpcLimits } from "../call/limits.ts";
import { createErrorMapper, errorDomain } from "../call/map-error.ts";
import type { MethodPlan, MethodPlans } from "../call/plan.ts";
import { raceIterable } from "../call/race.ts";
import { single } from "../call/single.ts";
import { copyEachIn, copyIn } from "./read-request.ts";
import { copyEachOut, copyOut } from "./write-reply.ts";

/** What calls within the process share; their limits have defaults. */
export interface LocalLaneOptions {
  readonly observer: CallObserver;
  readonly log: Logger;
  /** Default: the machine's clock. */
  readonly clock?: Clock;
  /** What differs from `defaultRpcLimits`. */
  readonly limits?: Partial<RpcLimits>;
}

/** Makes the transport of one caller. Credentials in headers mean nothing there. */
export type LocalLane = (caller: Caller) => Transport;

/**
 * Serves calls within the process: the life, errors and deadlines of a call over the network without the network. Messages are
 * copied on the way in and out, so neither side can change the other's. Calls do not count as load: the call that caused them does.
 * Who leaves a stream before its end must abort its signal: the library's clients tell nobody of a `break`. `plans` may grow: a method
 * is looked for when it is called.
 */
export function createLocalLane(plans: MethodPlans, options: LocalLaneOptions): LocalLane {
  const limits: RpcLimits = { ...defaultRpcLimits, ...options.limits };
  const life = createCallLife({
    authenticator: { authenticate: () => Promise.reject(new Error("callers in the process are known")) },
    observer: options.observer,
    errors: createErrorMapper(errorDomain),
    limits,
    clock: options.clock ?? systemClock,
    log: options.log,
  });
  return (caller) => ({
    unary: async <I extends DescMessage, O extends DescMessage>(
      ...[method, signal, timeoutMs, header, message]: Parameters<Transport["unary"]>
    ): Promise<UnaryResponse<I, O>> => {
      const call = begin(planOf(plans, method), life, caller, signal, timeoutMs, header);
      const context = new CallContext(call);
      const reply = await answer(life, call, context, {
        read: () => copyIn(call.plan, message),
        write: (output) => copyOut(method.output, output),
        refuse: (failure) => Promise.reject(failure),
      });
      return { stream: false, ...headOf(method, context), message: reply } as unknown as UnaryResponse<I, O>;
    },

    stream: async <I extends DescMessage, O extends DescMessage>(
      ...[method, signal, timeoutMs, header, messages]: Parameters<Transport["stream"]>
    ): Promise<StreamResponse<I, O>> => {
      const call = begin(planOf(plans, method), life, caller, signal, timeoutMs, header);
      const context = new CallContext(call);
      const refuse = (failure: ConnectError): Promise<never> => {
        life.end(call);
        return Promise.reject(failure);
      };
      const requests = copyEachIn(call.plan, raceIterable(messages, call.signal, { release: true }));
      const replies = await life.settle(call, () => invoke(call, life, requests, context), refuse);
      // A stream that nobody reads at the moment ends all the same.
      call.onCut = (reason) => {
        life.fail(call, reason);
        life.end(call);
      };
      return {
        stream: true,
        ...headOf(method, context),
        message: copyEachOut(call, life, replies),
      } as unknown as StreamResponse<I, O>;
    },
  });
}

function planOf(plans: MethodPlans, method: DescMethod): MethodPlan {
  const plan = plans.get(createMethodUrl("/", method));
  if (plan !== undefined) return plan;
  throw new ConnectError(`${method.parent.typeName} is not served in this process`, Code.Unimplemented);
}

function begin(
  plan: MethodPlan,
  life: CallLife,
  caller: Caller,
  signal: AbortSignal | undefined,
  timeoutMs: number | undefined,
  headerInit: HeadersInit | undefined,
): Call {
  const header = new Headers(headerInit);
  const origin = { protocol: "in-process", method: "POST", url: plan.path, header, signal, address: () => "", caller };
  const call = life.begin(plan, origin, { timeoutMs }, false);
  call.followCaller();
  return call;
}

/** What stands before the reply, or the replies, in a response. */
function headOf(method: DescMethod, context: CallContext) {
  return {
    service: method.parent,
    method,
    header: context.usedResponseHeader ?? new Headers(),
    trailer: context.responseTrailer,
  };
}

/** The replies to a call with a stream. One that answers once yields that answer. */
async function invoke(
  call: Call,
  life: CallLife,
  requests: AsyncIterable<Message>,
  context: CallContext,
): Promise<AsyncIterable<Message>> {
  await life.admit(call);
  const { methodKind } = call.plan.method;
  if (methodKind === "client_streaming") {
    return single(await (life.invoke(call, requests, context) as Promise<Message>));
  }
  if (methodKind === "bidi_streaming") return life.invoke(call, requests, context) as AsyncIterable<Message>;
  for await (const request of requests) return life.invoke(call, request, context) as AsyncIterable<Message>;
  throw new ConnectError("protocol error: missing input message for server-streaming method", Code.Unimplemented);
}
