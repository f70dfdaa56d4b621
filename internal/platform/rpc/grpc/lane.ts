import type { Http2ServerRequest, Http2ServerResponse } from "node:http2";
import { createUniversalLane, type UniversalLaneOptions } from "../universal/lane.ts";
import type { OnKnown } from "../call/call.ts";
import type { MethodPlans } from "../call/plan.ts";
import { pathOf, toUniversal } from "./read-request.ts";
import { closeUnread, writeReply, writeUnknown } from "./write-reply.ts";

/** Serves a request from `address`; `onKnown` is told once it is known who calls. Rejects when the reply cannot be delivered. */
export type GrpcLane = (
  request: Http2ServerRequest,
  response: Http2ServerResponse,
  address: string,
  onKnown: OnKnown,
) => Promise<void>;

/**
 * Serves native gRPC over HTTP/2 by the library's handlers. `aids`, health and reflection, do not count against the calls in flight:
 * asking for health must work under load too, and a watcher must not hold up a stop.
 */
export function createGrpcLane(
  { plans, aids }: { readonly plans: MethodPlans; readonly aids: MethodPlans },
  options: Omit<UniversalLaneOptions, "protocols" | "counted">,
): GrpcLane {
  const handlers = new Map([
    ...createUniversalLane(aids, { ...options, protocols: "grpc", counted: false }),
    ...createUniversalLane(plans, { ...options, protocols: "grpc", counted: true }),
  ]);
  return async (request, response, address, onKnown) => {
    // Not after the reply, which waits for the stream's end and so for what this causes.
    response.stream.once("finish", () => closeUnread(request, response));
    const path = pathOf(request);
    const handler = handlers.get(path);
    if (handler === undefined) return writeUnknown(path, response);
    await writeReply(await handler(toUniversal(request, response), address, onKnown), response);
  };
}
