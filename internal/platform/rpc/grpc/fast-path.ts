import type { IncomingHttpHeaders, ServerHttp2Stream } from "node:http2";
import { answer } from "../call/answer.ts";
import { CallContext } from "../call/call-context.ts";
import type { OnKnown } from "../call/call.ts";
import type { CallLife } from "../call/life.ts";
import { readBytesMaxOf, type RpcLimits } from "../call/limits.ts";
import { readGrpcTimeout } from "../call/named-timeout.ts";
import type { MethodPlan, MethodPlans } from "../call/plan.ts";
import { createSerialization } from "../call/serialization.ts";
import { GrpcOrigin, isPlain, readMessage } from "./read-stream.ts";
import { sendError, sendReply } from "./write-stream.ts";

/** Serves a stream of HTTP/2, or answers `undefined` when it is unusual and the library must. Rejects when the reply cannot be delivered. */
export type GrpcFastPath = (
  stream: ServerHttp2Stream,
  headers: IncomingHttpHeaders,
  address: () => string,
  onKnown: OnKnown,
) => Promise<void> | undefined;

/** The life and the limits of its calls. */
export interface GrpcFastPathOptions {
  readonly life: CallLife;
  readonly limits: RpcLimits;
}

/**
 * Serves hot methods, by path, over plain gRPC: unary, protobuf, identity encoding. Several times as fast as the library's handlers,
 * with the same life of a call and the same answers. Compression and other codecs are left to those.
 */
export function createGrpcFastPaths(
  plans: MethodPlans,
  options: GrpcFastPathOptions,
): ReadonlyMap<string, GrpcFastPath> {
  const hot = [...plans.values()].filter((plan) => plan.hot);
  return new Map(hot.map((plan) => [plan.path, createFastPath(plan, options)]));
}

function createFastPath(plan: MethodPlan, { life, limits }: GrpcFastPathOptions): GrpcFastPath {
  const readBytesMax = readBytesMaxOf(plan.policy, limits);
  const { binary } = createSerialization(plan, limits);
  return (stream, headers, address, onKnown) => {
    if (!isPlain(headers)) return undefined;
    const origin = new GrpcOrigin(stream, headers, address, onKnown);
    const call = life.begin(plan, origin, readGrpcTimeout(origin.get("grpc-timeout"), limits.timeoutMsMax), true);
    const context = new CallContext(call);
    return answer(life, call, context, {
      read: (prove) => readMessage(call, stream, readBytesMax, binary, prove),
      write: (reply) => {
        const body = binary.serialize(reply);
        return () => sendReply(stream, body, context);
      },
      refuse: (error) => () => sendError(stream, error, context),
    }).then((send) => send());
  };
}
