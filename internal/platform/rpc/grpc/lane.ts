import { Http2ServerRequest, Http2ServerResponse, type IncomingHttpHeaders, type ServerHttp2Stream } from "node:http2";
import { createUniversalLane, type UniversalLaneOptions } from "../universal/lane.ts";
import type { OnKnown } from "../call/call.ts";
import type { MethodPlans } from "../call/plan.ts";
import { createGrpcFastPaths } from "./fast-path.ts";
import { pathOf, toUniversal } from "./read-request.ts";
import { closeUnread, unknownMethod, writeReply } from "./write-reply.ts";
import { sendError } from "./write-stream.ts";

/** A request, as HTTP/2 brings it. */
export interface GrpcRequest {
  readonly stream: ServerHttp2Stream;
  readonly headers: IncomingHttpHeaders;
  /** Names and values in turn. */
  readonly rawHeaders: readonly string[];
}

/** Serves a request from `address`; `onKnown` is told once it is known who calls. Rejects when the reply cannot be delivered. */
export type GrpcLane = (request: GrpcRequest, address: () => string, onKnown: OnKnown) => Promise<void>;

/**
 * Serves native gRPC over HTTP/2: plain calls to hot methods on the fast path, all else by the library's handlers. `aids`, health and
 * reflection, do not count against the calls in flight: asking for health must work under load too, and a watcher must not hold up a stop.
 */
export function createGrpcLane(
  { plans, aids }: { readonly plans: MethodPlans; readonly aids: MethodPlans },
  options: Omit<UniversalLaneOptions, "protocols" | "counted">,
): GrpcLane {
  const handlers = new Map([
    ...createUniversalLane(aids, { ...options, protocols: "grpc", counted: false }),
    ...createUniversalLane(plans, { ...options, protocols: "grpc", counted: true }),
  ]);
  const fast = createGrpcFastPaths(plans, options);
  const serve = async (
    { stream, headers, rawHeaders }: GrpcRequest,
    path: string,
    address: () => string,
    onKnown: OnKnown,
  ): Promise<void> => {
    // Not after the reply, which waits for the stream's end and so for what this causes.
    stream.once("finish", () => closeUnread(stream));
    const handler = handlers.get(path);
    if (handler === undefined) return sendError(stream, unknownMethod(path));
    const request = new Http2ServerRequest(stream, headers, {}, rawHeaders);
    const response = new Http2ServerResponse(stream);
    await writeReply(await handler(toUniversal(request, response), address(), onKnown), response);
  };
  return (request, address, onKnown) => {
    const path = pathOf(request.headers);
    return (
      fast.get(path)?.(request.stream, request.headers, address, onKnown) ?? serve(request, path, address, onKnown)
    );
  };
}
