import {
  clone,
  create,
  type DescMessage,
  type DescMethod,
  type Message,
  type MessageInitShape,
} from "@bufbuild/protobuf";
import {
  Code,
  ConnectError,
  createContextValues,
  type StreamResponse,
  type Transport,
  type UnaryResponse,
} from "@connectrpc/connect";
import { createLinkedAbortController, createMethodUrl, runStreamingCall } from "@connectrpc/connect/protocol";
import type { Served } from "../../service/parts.ts";
import { systemClock, type Clock } from "../../clock/clock.ts";
import { MuinError } from "../../errors/muin-error.ts";
import type { Caller } from "../../identity/caller.ts";
import type { CallObserver } from "../../telemetry/call-observer.ts";
import type { Logger } from "../../telemetry/logger.ts";
import { LazyContext } from "../call/call-context.ts";
import { defaultRpcLimits, type RpcLimits } from "../call/limits.ts";
import { createErrorMapper, errorDomain } from "../call/map-error.ts";
import {
  planMethods,
  type CollectHandler,
  type MethodPlan,
  type StreamHandler,
  type UnaryHandler,
} from "../call/plan.ts";
import { abortError, race, raceIterable } from "../call/race.ts";
import { createSteps, type Call } from "../call/life.ts";

/** What the transport needs. */
export interface InProcessOptions {
  /** Who calls: `{ kind: "service", id: <name>, principal: "service:<name>" }`. */
  readonly caller: Caller;
  readonly observer: CallObserver;
  readonly log: Logger;
  readonly clock?: Clock;
  readonly limits?: Partial<RpcLimits>;
}

/**
 * Creates a transport to services of the same process: the steps, errors and deadlines of a call over the network without the
 * network. Messages are copied on the way in and out, so neither side can change the other's. Calls do not count as load: the
 * call that caused them does. Who leaves a stream before its end must abort its signal: the library's clients tell nobody of a
 * `break`.
 */
export function createInProcessTransport(served: readonly Served[], options: InProcessOptions): Transport {
  const limits: RpcLimits = { ...defaultRpcLimits, ...options.limits };
  const clock = options.clock ?? systemClock;
  const steps = createSteps({
    authenticator: { authenticate: () => options.caller },
    observer: options.observer,
    errors: createErrorMapper(errorDomain),
    limits,
    clock,
    log: options.log,
  });
  const plans = planMethods(served);
  const never = new AbortController().signal; // The process's own stop ends the callers of these calls first.

  const planOf = (method: DescMethod): MethodPlan => {
    const plan = plans.get(createMethodUrl("/", method));
    if (plan === undefined) {
      throw new ConnectError(`${method.parent.typeName} is not served in this process`, Code.Unimplemented);
    }
    return plan;
  };
  const begin = (plan: MethodPlan, header: Headers): Call =>
    steps.begin(plan, "in-process", header.get("traceparent"), false);
  const contextOf = (call: Call, header: Headers, signal: AbortSignal | undefined): LazyContext =>
    new LazyContext(
      call,
      {
        protocolName: "in-process",
        requestMethod: "POST",
        url: call.plan.path,
        requestHeader: header,
        signal,
        address: () => "",
      },
      never,
    );
  // The caller is fixed by whoever created the transport; what the client claims in its headers means nothing.
  const admit = (call: Call): void | Promise<void> => steps.admit(call, "in-process");

  return {
    unary: async <I extends DescMessage, O extends DescMessage>(
      ...[method, signal, timeoutMs, headerInit, message]: Parameters<Transport["unary"]>
    ): Promise<UnaryResponse<I, O>> => {
      const plan = planOf(method);
      const handler = plan.handler as unknown as UnaryHandler;
      const header = new Headers(headerInit);
      const call = begin(plan, header);
      const deadline = steps.deadlines.add(timeoutMs ?? limits.timeoutMsDefault, (reason) => context.abort(reason));
      call.deadline = deadline;
      const context = contextOf(call, header, signal);
      try {
        const admitted = admit(call);
        if (admitted !== undefined) await admitted;
        const input = copyIn(method.input, message);
        steps.accept(call, input, header.get("idempotency-key"));
        const output = await race(Promise.resolve(call.span.run(() => handler(input, context))), context.signal);
        const response = {
          stream: false,
          service: method.parent,
          method,
          header: context.usedResponseHeader ?? new Headers(),
          trailer: context.usedResponseTrailer ?? new Headers(),
          message: copyOut(method.output, output),
        };
        return response as unknown as UnaryResponse<I, O>;
      } catch (error) {
        const mapped = steps.fail(call, error);
        context.abort(mapped);
        throw mapped;
      } finally {
        deadline.cancel();
        context.abort();
        steps.end(call);
      }
    },

    stream: async <I extends DescMessage, O extends DescMessage>(
      ...[method, signal, timeoutMs, header, messages, contextValues]: Parameters<Transport["stream"]>
    ): Promise<StreamResponse<I, O>> => {
      const plan = planOf(method);
      const ending = createLinkedAbortController(signal);
      const deadline =
        timeoutMs === undefined
          ? undefined
          : steps.deadlines.add(timeoutMs, (reason) => ending.abort(steps.describe(reason)));
      const response = await runStreamingCall({
        req: {
          stream: true,
          service: method.parent,
          method,
          requestMethod: "POST",
          url: plan.path,
          header: new Headers(header),
          contextValues: contextValues ?? createContextValues(),
          message: messages,
        },
        signal: ending.signal,
        next: async (request) => {
          const call = begin(plan, request.header);
          call.deadline = deadline;
          const context = contextOf(call, request.header, request.signal);
          const finish = (error?: unknown): ConnectError | undefined => {
            if (call.ended) return call.failure;
            request.signal.removeEventListener("abort", onAbort);
            deadline?.cancel();
            const mapped = error === undefined ? undefined : steps.fail(call, error);
            context.abort(mapped);
            steps.end(call);
            return mapped;
          };
          // The library hands no abort on to an iterator that nobody reads at that moment.
          const onAbort = (): void => void finish(abortError(request.signal));
          request.signal.addEventListener("abort", onAbort, { once: true });
          try {
            const admitted = admit(call);
            if (admitted !== undefined) await admitted;
            const accepted = acceptAll(request.message, (input) => {
              const copy = copyIn(method.input, input);
              steps.accept(call, copy, request.header.get("idempotency-key"));
              return copy;
            });
            const running = call.span.run(() => invoke(plan, accepted, context));
            const replies = raceIterable(await race(running, request.signal), request.signal, {
              release: true,
              within: call.span,
            });
            return {
              stream: true,
              service: method.parent,
              method,
              header: context.usedResponseHeader ?? new Headers(),
              trailer: context.responseTrailer,
              message: deliver(replies, (reply) => copyOut(method.output, reply), finish),
            };
          } catch (error) {
            throw finish(error);
          }
        },
      });
      return response as unknown as StreamResponse<I, O>;
    },
  };
}

/** A request of its own for the handler. What the wire could not carry, half of a surrogate pair for one, is refused as there. */
function copyIn(schema: DescMessage, request: MessageInitShape<DescMessage>): Message {
  try {
    return clone(schema, create(schema, request));
  } catch (error) {
    throw new MuinError({
      code: "invalid_argument",
      reason: "MALFORMED_REQUEST",
      message: error instanceof Error ? error.message : String(error),
    });
  }
}

/** A reply of its own for the caller, complete even when the handler returned a part. */
function copyOut(schema: DescMessage, reply: Message): Message {
  return clone(schema, create(schema, reply));
}

async function invoke(
  plan: MethodPlan,
  requests: AsyncIterable<Message>,
  context: LazyContext,
): Promise<AsyncIterable<Message>> {
  if (plan.method.methodKind === "client_streaming") {
    return once(await (plan.handler as unknown as CollectHandler)(requests, context));
  }
  const handler = plan.handler as unknown as StreamHandler;
  if (plan.method.methodKind === "bidi_streaming") return handler(requests, context);
  for await (const request of requests) return handler(request, context);
  throw new ConnectError("protocol error: missing input message for server-streaming method", Code.Unimplemented);
}

async function* once(message: Message): AsyncIterable<Message> {
  yield message;
}

async function* acceptAll(source: AsyncIterable<Message>, accept: (input: Message) => Message): AsyncIterable<Message> {
  for await (const input of source) yield accept(input);
}

/** Hands replies on, mapped, and reports how the stream ended. */
function deliver(
  replies: AsyncIterable<Message>,
  copy: (reply: Message) => Message,
  finish: (error?: unknown) => ConnectError | undefined,
): AsyncIterable<Message> {
  return {
    [Symbol.asyncIterator]: () => {
      const inner = replies[Symbol.asyncIterator]();
      return {
        next: async () => {
          try {
            const result = await inner.next();
            if (result.done !== true) return { done: false, value: copy(result.value) };
            finish();
            return result;
          } catch (error) {
            throw finish(error);
          }
        },
        return: async () => {
          await inner.return?.();
          finish();
          return { done: true, value: undefined };
        },
      };
    },
  };
}
