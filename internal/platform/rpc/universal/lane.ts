import type { DescMethod, Message, Registry } from "@bufbuild/protobuf";
import {
  Code,
  ConnectError,
  createConnectRouter,
  createContextKey,
  createContextValues,
  type HandlerContext,
  type MethodImpl,
} from "@connectrpc/connect";
import { compressionBrotli, compressionGzip } from "@connectrpc/connect-node";
import {
  createLinkedAbortController,
  readAllBytes,
  type UniversalServerRequest,
  type UniversalServerResponse,
} from "@connectrpc/connect/protocol";
import { parseTimeout as parseConnectTimeout } from "@connectrpc/connect/protocol-connect";
import { parseTimeout as parseGrpcTimeout } from "@connectrpc/connect/protocol-grpc";
import { addressKey } from "../../identity/address.ts";
import { notSignable, signatureKey } from "../../identity/call-signature.ts";
import { callerKey } from "../../identity/caller.ts";
import type { RpcLimits } from "../call/limits.ts";
import type { CollectHandler, MethodPlan, StreamHandler, UnaryHandler } from "../call/plan.ts";
import { race, raceIterable } from "../call/race.ts";
import { reviseResponse } from "./write-reply.ts";
import { callKey, timeoutError, type Call, type Steps } from "../call/life.ts";

/** Serves one method over the library's protocols. `address` is the caller's network address. */
export type GenericHandler = (request: UniversalServerRequest, address: string) => Promise<UniversalServerResponse>;

/** Which protocols a port speaks. */
export interface GenericLaneOptions {
  readonly protocols: "connect-and-grpc-web" | "grpc";
  readonly limits: RpcLimits;
  /** Whether its calls count against the calls in flight. */
  readonly counted: boolean;
  /** Types that may stand in an Any of a reply or an error. */
  readonly registry: Registry;
  /** Aborted when calls under way must end. */
  readonly shutdownSignal: AbortSignal;
  /** Aborted earlier, when streams under way must end. */
  readonly streamsSignal: AbortSignal;
}

/** Serves the planned methods by the library's own handlers, by path: every codec, compression, GET and streams. */
export function createGenericLane(
  plans: ReadonlyMap<string, MethodPlan>,
  steps: Steps,
  options: GenericLaneOptions,
): ReadonlyMap<string, GenericHandler> {
  const { limits } = options;
  const router = createConnectRouter({
    connect: options.protocols !== "grpc",
    grpcWeb: options.protocols !== "grpc",
    grpc: options.protocols === "grpc",
    readMaxBytes: limits.readBytesMax,
    writeMaxBytes: limits.writeBytesMax,
    jsonOptions: { registry: options.registry },
    acceptCompression: [compressionGzip, compressionBrotli],
    shutdownSignal: options.shutdownSignal,
    requestGate: async (context) => {
      const call = callIn(context);
      try {
        const badTimeout = context.values.get(badTimeoutKey);
        if (badTimeout !== undefined) throw timeoutError(badTimeout);
        const admitted = steps.admit(call, context.requestHeader.get("authorization"));
        if (admitted !== undefined) await race(admitted, context.signal);
        const body = context.values.get(bodyKey);
        if (body !== undefined && steps.mustBeSigned(call)) {
          steps.prove(call, context.requestHeader, await messageOf(body, context, limits.readBytesMax));
          context.values.set(signatureKey, call.signature);
        }
        context.values.set(callerKey, call.caller);
        context.values.get(admittedKey)?.();
      } catch (error) {
        throw steps.fail(call, error);
      }
    },
  });
  for (const plan of plans.values()) router.rpc(plan.method, adapt(plan, steps));

  const handlers = new Map<string, GenericHandler>();
  for (const handler of router.handlers) {
    const plan = plans.get(handler.requestPath)!;
    const unary = plan.method.methodKind === "unary";
    handlers.set(handler.requestPath, async (request, address) => {
      const protocol = protocolOf(request.header.get("content-type"));
      const call = steps.begin(plan, protocol, request.header.get("traceparent"), options.counted);
      const abort = createLinkedAbortController(request.signal, ...(unary ? [] : [options.streamsSignal]));
      const named = readTimeout(protocol, request.header, limits.timeoutMsMax);
      const timeoutMs = named.timeoutMs ?? (unary ? limits.timeoutMsDefault : undefined);
      const deadline =
        timeoutMs === undefined || named.error !== undefined
          ? undefined
          : steps.deadlines.add(timeoutMs, (reason) => abort.abort(reason));
      call.deadline = deadline;
      const authorization = unary ? null : request.header.get("authorization");
      const end = (): void => {
        deadline?.cancel();
        abort.abort();
        steps.end(call);
      };
      const body = createReplayableBody(
        // A body that never comes ends with the deadline. The source is only left unread: cancelling it would end the
        // HTTP/2 stream before the reply.
        raceIterable(request.body as AsyncIterable<Uint8Array>, abort.signal, { release: false }),
      );
      try {
        const response = await handler({
          ...request,
          // The library would set a timer for a deadline that the gate is about to refuse, however long it is.
          header: named.error === undefined ? request.header : withoutTimeout(request.header),
          body,
          signal: abort.signal,
          contextValues: createContextValues()
            .set(callKey, call)
            .set(addressKey, address)
            .set(badTimeoutKey, named.error)
            .set(bodyKey, unary ? body : undefined)
            .set(admittedKey, () => {
              if (authorization === null) return;
              steps.watch(call, authorization, abort.signal, (reason) => abort.abort(reason));
            }),
        });
        return await reviseResponse(request, response, protocol, call, steps, end);
      } catch (error) {
        steps.fail(call, error);
        end();
        throw error;
      }
    });
  }
  return handlers;
}

/** Carries what to do once the caller was admitted. */
const admittedKey = createContextKey<(() => void) | undefined>(undefined, { description: "admitted" });

/** Carries what is wrong with the deadline that the caller named. */
const badTimeoutKey = createContextKey<ConnectError | undefined>(undefined, { description: "bad timeout" });

/** Carries the body, for a call whose signature covers it. */
const bodyKey = createContextKey<ReplayableBody | undefined>(undefined, { description: "body" });

/** A body that can be read whole before it is read. */
interface ReplayableBody extends AsyncIterable<Uint8Array> {
  /** All of it; `bytesMax` bytes at the most, then ConnectError `resource_exhausted`. Once. */
  whole(bytesMax: number): Promise<Uint8Array>;
}

function createReplayableBody(source: AsyncIterable<Uint8Array>): ReplayableBody {
  let read: Uint8Array | undefined;
  return {
    whole: async (bytesMax) => (read = await readAllBytes(source, bytesMax)),
    [Symbol.asyncIterator]: () => (read === undefined ? source : once(read))[Symbol.asyncIterator](),
  };
}

async function* once(bytes: Uint8Array): AsyncIterable<Uint8Array> {
  yield bytes;
}

/** Length of what stands before a message of gRPC and gRPC-Web: flags and the message's length. */
const frameBytes = 5;

/** The request message as it was sent, of a call whose signature must cover it. */
async function messageOf(body: ReplayableBody, context: HandlerContext, readBytesMax: number): Promise<Uint8Array> {
  const { requestHeader, requestMethod } = context;
  if (requestMethod === "GET") throw notSignable("the method GET");
  if (protocolOf(requestHeader.get("content-type")) === "connect") {
    const encoding = requestHeader.get("content-encoding");
    if (encoding !== null && encoding !== "identity") throw notSignable("a compressed body");
    return body.whole(readBytesMax);
  }
  const framed = Buffer.from(await body.whole(frameBytes + readBytesMax));
  if (framed.length >= frameBytes && framed[0] === 1) throw notSignable("a compressed body");
  if (framed.length < frameBytes || framed[0] !== 0 || framed.readUInt32BE(1) !== framed.length - frameBytes) {
    throw notSignable("any body but one message");
  }
  return framed.subarray(frameBytes);
}

function withoutTimeout(header: Headers): Headers {
  const rest = new Headers(header);
  rest.delete("connect-timeout-ms");
  rest.delete("grpc-timeout");
  return rest;
}

/** The deadline that the caller named in the headers of its protocol. */
function readTimeout(
  protocol: string,
  header: Headers,
  timeoutMsMax: number,
): { timeoutMs?: number | undefined; error?: ConnectError | undefined } {
  return protocol === "connect"
    ? parseConnectTimeout(header.get("connect-timeout-ms"), timeoutMsMax)
    : parseGrpcTimeout(header.get("grpc-timeout"), timeoutMsMax);
}

function protocolOf(contentType: string | null): "connect" | "grpc" | "grpc-web" {
  if (contentType === null || !contentType.startsWith("application/grpc")) return "connect";
  return contentType.startsWith("application/grpc-web") ? "grpc-web" : "grpc";
}

function callIn(context: HandlerContext): Call {
  const call = context.values.get(callKey);
  if (call === undefined) throw new ConnectError("call without steps", Code.Internal);
  return call;
}

/** The implementation with the steps that follow parsing. */
function adapt(plan: MethodPlan, steps: Steps): MethodImpl<DescMethod> {
  const accept = (call: Call, request: Message, context: HandlerContext): void =>
    steps.accept(call, request, context.requestHeader.get("idempotency-key"));
  const acceptAll = (call: Call, requests: AsyncIterable<Message>, context: HandlerContext): AsyncIterable<Message> =>
    mapIterable(requests, (request) => {
      accept(call, request, context);
      return request;
    });
  const handler = plan.handler;
  switch (plan.method.methodKind) {
    case "unary": {
      const run = handler as unknown as UnaryHandler;
      return (async (request: Message, context: HandlerContext) => {
        const call = callIn(context);
        try {
          accept(call, request, context);
          const full = { ...context, timeoutMs: () => call.deadline?.remainingMs() };
          return await race(Promise.resolve(call.span.run(() => run(request, full))), context.signal);
        } catch (error) {
          throw steps.fail(call, error);
        }
      }) as unknown as MethodImpl<DescMethod>;
    }
    case "client_streaming": {
      const run = handler as unknown as CollectHandler;
      return (async (requests: AsyncIterable<Message>, context: HandlerContext) => {
        const call = callIn(context);
        try {
          return await race(
            call.span.run(() => run(acceptAll(call, requests, context), context)),
            context.signal,
          );
        } catch (error) {
          throw steps.fail(call, error);
        }
      }) as unknown as MethodImpl<DescMethod>;
    }
    case "server_streaming":
    case "bidi_streaming": {
      const run = handler as unknown as StreamHandler;
      return ((request: Message | AsyncIterable<Message>, context: HandlerContext) => {
        const call = callIn(context);
        try {
          let input = request;
          if (plan.method.methodKind === "server_streaming") accept(call, request as Message, context);
          else input = acceptAll(call, request as AsyncIterable<Message>, context);
          const replies = raceIterable(
            call.span.run(() => run(input, context)),
            context.signal,
            { release: true, within: call.span },
          );
          return mapErrors(replies, (error) => steps.fail(call, error));
        } catch (error) {
          throw steps.fail(call, error);
        }
      }) as unknown as MethodImpl<DescMethod>;
    }
  }
}

function mapIterable<T>(source: AsyncIterable<T>, map: (value: T) => T): AsyncIterable<T> {
  return {
    [Symbol.asyncIterator]: () => {
      const inner = source[Symbol.asyncIterator]();
      return {
        next: async () => {
          const result = await inner.next();
          return result.done === true ? result : { done: false, value: map(result.value) };
        },
        return: async () => (await inner.return?.()) ?? { done: true, value: undefined },
      };
    },
  };
}

function mapErrors<T>(source: AsyncIterable<T>, map: (error: unknown) => unknown): AsyncIterable<T> {
  return {
    [Symbol.asyncIterator]: () => {
      const inner = source[Symbol.asyncIterator]();
      return {
        next: () =>
          inner.next().catch((error: unknown) => {
            throw map(error);
          }),
        throw: (error) => inner.throw!(error),
        return: () => inner.return!(),
      };
    },
  };
}
