import type { Registry } from "@bufbuild/protobuf";
import { answer } from "../call/answer.ts";
import { CallContext } from "../call/call-context.ts";
import type { OnKnown } from "../call/call.ts";
import type { CallLife } from "../call/life.ts";
import { readBytesMaxOf, type RpcLimits } from "../call/limits.ts";
import { readConnectTimeout } from "../call/named-timeout.ts";
import type { MethodPlan, MethodPlans } from "../call/plan.ts";
import { createSerialization } from "../call/serialization.ts";
import { createJsonDecoder } from "../call/wire-text.ts";
import { encodingOf, readMessage } from "./read-request.ts";
import { respond, respondError } from "./write-reply.ts";

/** Serves a request, or answers `undefined` when it is unusual and the library must. */
export type FastPath = (request: Request, address: () => string, onKnown: OnKnown) => Promise<Response> | undefined;

/** The life and the limits of its calls, and how errors become JSON. */
export interface FastPathOptions {
  readonly life: CallLife;
  readonly limits: RpcLimits;
  /** Types that may stand in an Any of a reply or an error. */
  readonly registry: Registry;
}

/**
 * Serves hot methods, by path, over plain Connect: unary POST, binary or JSON, identity encoding. Several times as fast as the
 * library's handlers, with the same life of a call and the same answers. Compression, GET and other codecs are left to those.
 */
export function createFastPaths(plans: MethodPlans, options: FastPathOptions): ReadonlyMap<string, FastPath> {
  const hot = [...plans.values()].filter((plan) => plan.hot);
  return new Map(hot.map((plan) => [plan.path, createFastPath(plan, options)]));
}

function createFastPath(plan: MethodPlan, { life, limits, registry }: FastPathOptions): FastPath {
  const readBytesMax = readBytesMaxOf(plan.policy, limits);
  const jsonOptions = { registry, textDecoder: createJsonDecoder(plan.method.input) };
  const serializations = createSerialization(plan, limits, jsonOptions);
  return (request, address, onKnown) => {
    const encoding = encodingOf(request);
    if (encoding === undefined) return undefined;
    const serialization = serializations[encoding];
    const header = request.headers;
    const call = life.begin(
      plan,
      {
        protocol: "connect",
        method: "POST",
        url: request.url,
        header,
        get signal() {
          return request.signal;
        },
        address,
        onKnown,
      },
      readConnectTimeout(header.get("connect-timeout-ms"), limits.timeoutMsMax),
      true,
    );
    const context = new CallContext(call);
    return answer(life, call, context, {
      read: (prove) => readMessage(call, request, readBytesMax, serialization, prove),
      write: (reply) => respond(200, serialization.serialize(reply), encoding, context),
      refuse: (error) => respondError(error, registry, context),
    });
  };
}
