import type { DescMethod, Registry } from "@bufbuild/protobuf";
import {
  Code,
  ConnectError,
  createConnectRouter,
  type ConnectRouter,
  type HandlerContext,
  type MethodImpl,
} from "@connectrpc/connect";
import type {
  UniversalHandler as LibraryHandler,
  UniversalServerRequest,
  UniversalServerResponse,
} from "@connectrpc/connect/protocol";
import { mustBeSigned } from "../call/admission.ts";
import { callKey, CallValues } from "../call/call-context.ts";
import type { Call, OnKnown } from "../call/call.ts";
import { compressionsOf } from "../call/compressions.ts";
import type { CallLife } from "../call/life.ts";
import { readBytesMaxOf, type RpcLimits } from "../call/limits.ts";
import type { Input, MethodPlan, MethodPlans } from "../call/plan.ts";
import { createJsonDecoder } from "../call/wire-text.ts";
import {
  bodyKey,
  checkQuery,
  protocolOf,
  readableUrl,
  readTimeout,
  replayableBody,
  signedMessage,
  withoutTimeout,
  withPlainEncodings,
} from "./read-request.ts";
import { reviseResponse } from "./write-reply.ts";

/** Serves one method over the library's protocols. `address` is the caller's network address; `onKnown` is told once it is known who calls. */
export type UniversalHandler = (
  request: UniversalServerRequest,
  address: string,
  onKnown: OnKnown | undefined,
) => Promise<UniversalServerResponse>;

/** How methods are served: which protocols a port speaks, within which limits. */
export interface UniversalLaneOptions {
  readonly life: CallLife;
  readonly limits: RpcLimits;
  /** Types that may stand in an Any of a reply or an error. */
  readonly registry: Registry;
  readonly protocols: "connect-and-grpc-web" | "grpc";
  /** Whether its calls count against the calls in flight. */
  readonly counted: boolean;
}

/**
 * Serves methods, by path, by the handlers of the protocol library: every codec, compression, GET and streams. The library asks the
 * gate before it reads a body, then the implementation with what it parsed; between both and after them it may fail by itself.
 */
export function createUniversalLane(
  plans: MethodPlans,
  options: UniversalLaneOptions,
): ReadonlyMap<string, UniversalHandler> {
  return new Map(
    [...plans.values()].map((plan) => {
      const [handler] = createRouter(plan, options).rpc(plan.method, implement(plan, options.life)).handlers;
      return [plan.path, serve(plan, handler!, options)];
    }),
  );
}

/** A router for one method, whose options the library takes for all. */
function createRouter(
  { method: { input }, policy }: MethodPlan,
  { life, limits, registry, protocols }: UniversalLaneOptions,
): ConnectRouter {
  const gate = async (context: HandlerContext): Promise<void> => {
    const call = callIn(context);
    const admitted = life.admit(call);
    if (admitted !== undefined) await admitted;
    if (call.origin.method === "GET") checkQuery(call.origin.url);
    const body = context.values.get(bodyKey);
    if (body !== undefined && mustBeSigned(call)) {
      await life.prove(call, await signedMessage(body, call, readBytesMaxOf(call.plan.policy, limits)));
    }
  };
  const jsonOptions = { registry, textDecoder: createJsonDecoder(input) };
  return createConnectRouter({
    connect: protocols !== "grpc",
    grpcWeb: protocols !== "grpc",
    grpc: protocols === "grpc",
    readMaxBytes: readBytesMaxOf(policy, limits),
    writeMaxBytes: limits.writeBytesMax,
    acceptCompression: compressionsOf(policy, limits),
    jsonOptions,
    requestGate: (context) => life.settle(callIn(context), () => gate(context), reject),
  });
}

/** The library's handler within the life of a call. */
function serve(plan: MethodPlan, handler: LibraryHandler, options: UniversalLaneOptions): UniversalHandler {
  const { life, limits, counted } = options;
  return async (request, address, onKnown) => {
    const { method, url, signal } = request;
    const header = withPlainEncodings(request.header);
    const protocol = protocolOf(header);
    const named = readTimeout(protocol, header, limits.timeoutMsMax);
    const origin = { protocol, method, url, header, signal, address: () => address, onKnown };
    const call = life.begin(plan, origin, named, counted);
    try {
      const body = replayableBody(request, call, readBytesMaxOf(plan.policy, limits));
      const contextValues = new CallValues(call);
      if (plan.method.methodKind === "unary") contextValues.set(bodyKey, body);
      const response = await handler({
        ...request,
        url: method === "GET" ? readableUrl(url) : url,
        // The library would set a timer for a deadline that the gate is about to refuse, however long it is.
        header: named.error === undefined ? header : withoutTimeout(header),
        body,
        signal: call.signal,
        contextValues,
      });
      return await reviseResponse(request, response, call, life);
    } catch (error) {
      life.fail(call, error);
      life.end(call);
      throw error;
    }
  };
}

/** A method as the library wants it implemented. */
function implement({ method }: MethodPlan, life: CallLife): MethodImpl<DescMethod> {
  const invoke = (call: Call, input: Input, context: HandlerContext) =>
    life.invoke(call, input, { ...context, timeoutMs: () => call.deadline?.remainingMs() });
  const isOne = method.methodKind === "unary" || method.methodKind === "client_streaming";
  const implementation = (input: Input, context: HandlerContext): unknown => {
    const call = callIn(context);
    if (isOne) return life.settle(call, async () => invoke(call, input, context), reject);
    try {
      return invoke(call, input, context);
    } catch (error) {
      throw life.fail(call, error);
    }
  };
  return implementation as MethodImpl<DescMethod>;
}

function reject(failure: ConnectError): Promise<never> {
  return Promise.reject(failure);
}

function callIn(context: HandlerContext): Call {
  const call = context.values.get(callKey);
  if (call === undefined) throw new ConnectError("call without a life", Code.Internal);
  return call;
}
