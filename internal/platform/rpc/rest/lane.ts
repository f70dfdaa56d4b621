import type { Registry } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { answer } from "../call/answer.ts";
import { CallContext } from "../call/call-context.ts";
import type { OnKnown } from "../call/call.ts";
import type { CallLife } from "../call/life.ts";
import type { RpcLimits } from "../call/limits.ts";
import { readConnectTimeout } from "../call/named-timeout.ts";
import { completed } from "../call/serialization.ts";
import { readRequest } from "./read-request.ts";
import type { RestRoute } from "./route.ts";
import { createRestRouter, type RestRouter } from "./router.ts";
import { errorToRest, replyToRest, respond, setRetryAfter, statusOf } from "./write-reply.ts";

/** Serves a request at `path`; `undefined` when no route leads there. `onKnown` is told once it is known who calls. */
export type RestLane = (
  request: Request,
  path: string,
  address: () => string,
  onKnown: OnKnown,
) => Promise<Response> | Response | undefined;

/** The life and the limits of its calls, and how replies become JSON. */
export interface RestLaneOptions {
  readonly life: CallLife;
  readonly limits: RpcLimits;
  /** Types that may stand in an Any of a reply or an error. */
  readonly registry: Registry;
}

/** Serves REST with protobuf JSON, by the same life of a call as every other lane. */
export function createRestLane(routes: readonly RestRoute[], options: RestLaneOptions): RestLane {
  const { life, registry } = options;
  const router: RestRouter<RestRoute> = createRestRouter();
  for (const route of routes) router.add(route.method, route.template, route);
  const refuse = (status: number, error: ConnectError, headers?: Record<string, string>): Response =>
    Response.json(errorToRest(life.describe(error), registry, status), { status, ...(headers && { headers }) });

  return (request, path, address, onKnown) => {
    const found = router.find(request.method === "HEAD" ? "GET" : request.method, path);
    switch (found.kind) {
      case "none":
        return undefined;
      case "malformed":
        return refuse(400, new ConnectError(`the path ${path} is not percent-encoded`, Code.InvalidArgument));
      case "method": {
        const allow = found.allowed.map((method) => (method === "GET" ? "GET, HEAD" : method)).join(", ");
        const error = new ConnectError(`${request.method} is not served at ${path}, but ${allow}`, Code.Unimplemented);
        return refuse(405, error, { allow });
      }
      case "match":
        return serve(found.target, found.values, request, { address, onKnown }, options);
    }
  };
}

function serve(
  route: RestRoute,
  values: readonly string[],
  request: Request,
  { address, onKnown }: { readonly address: () => string; readonly onKnown: OnKnown },
  { life, limits, registry }: RestLaneOptions,
): Promise<Response> {
  const { headers: header, method, url } = request;
  const origin = {
    protocol: "rest",
    method,
    url,
    header,
    get signal() {
      return request.signal;
    },
    address,
    onKnown,
  };
  const named = readConnectTimeout(header.get("connect-timeout-ms"), limits.timeoutMsMax);
  const call = life.begin(route.plan, origin, named, true);
  const context = new CallContext(call);
  return answer(life, call, context, {
    read: (prove) => readRequest(call, route, values, request, limits, prove),
    write: (reply) => respond(200, replyToRest(route, completed(route.plan, reply), registry), context),
    refuse: (error) => {
      const status = statusOf(error);
      setRetryAfter(error, context);
      return respond(status, errorToRest(error, registry, status), context);
    },
  });
}
