import {
  getOption,
  hasOption,
  toJson,
  type DescField,
  type DescMethod,
  type JsonValue,
  type Message,
  type Registry,
} from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { compressionBrotli, compressionGzip } from "@connectrpc/connect-node";
import { codeToHttpStatus, parseTimeout, trailerMux } from "@connectrpc/connect/protocol-connect";
import { http as httpOption } from "../../../gen/google/api/annotations_pb.ts";
import type { HttpRule } from "../../../gen/google/api/http_pb.ts";
import { RetryInfoSchema } from "../../../gen/google/rpc/error_details_pb.ts";
import { MuinError } from "../../errors/muin-error.ts";
import { notSignable } from "../../identity/call-signature.ts";
import { errorToRest } from "./write-reply.ts";
import type { LazyContext } from "../call/call-context.ts";
import type { MethodPlan } from "../call/plan.ts";
import { parsePathTemplate } from "./path-template.ts";
import { readBytes } from "../call/read-bytes.ts";
import { buildRequest, resolveFields, type RequestBinding } from "./read-request.ts";
import { createRestRouter, type RestRouter } from "./router.ts";
import { runUnary, type UnaryDeps } from "../call/run-unary.ts";

/** A route of google.api.http. */
export interface RestRoute {
  readonly plan: MethodPlan;
  readonly method: string;
  readonly template: string;
  readonly binding: RequestBinding;
  /** The reply's field that is the response's body; `undefined` for all of the reply. */
  readonly responseField: DescField | undefined;
}

/** Serves a request at `path`; `undefined` when no route leads there. */
export type RestHandler = (
  request: Request,
  path: string,
  address: () => string,
) => Promise<Response> | Response | undefined;

/** Finds the routes of all methods, in the order of the plans. Throws for an annotation that cannot be served. */
export function planRoutes(plans: ReadonlyMap<string, MethodPlan>, registry: Registry): readonly RestRoute[] {
  const routes: RestRoute[] = [];
  for (const plan of plans.values()) {
    if (!hasOption(plan.method, httpOption)) continue;
    const rule = getOption(plan.method, httpOption);
    for (const each of [rule, ...rule.additionalBindings]) routes.push(planRoute(plan, each, registry));
  }
  return routes;
}

function planRoute(plan: MethodPlan, rule: HttpRule, registry: Registry): RestRoute {
  const { method } = plan;
  if (method.methodKind !== "unary") throw new Error(`${name(method)} streams: it cannot have a REST path`);
  const { pattern } = rule;
  if (pattern.case === undefined) throw new Error(`${name(method)} has a REST annotation without a path`);
  const [verb, template] =
    pattern.case === "custom" ? [pattern.value.kind, pattern.value.path] : [pattern.case.toUpperCase(), pattern.value];
  const body = rule.body === "" || rule.body === "*" ? rule.body : resolveFields(method.input, [rule.body])[0]!;
  return {
    plan,
    method: verb,
    template,
    binding: {
      input: method.input,
      body: body === "" ? undefined : body,
      variables: parsePathTemplate(template).variables.map(({ field }) => resolveFields(method.input, field)),
      json: { registry, ignoreUnknownFields: false },
    },
    responseField: rule.responseBody === "" ? undefined : resolveFields(method.output, [rule.responseBody])[0]!,
  };
}

/** Serves REST with protobuf JSON, by the same steps and handlers as every other lane. */
export function createRestLane(routes: readonly RestRoute[], registry: Registry, deps: UnaryDeps): RestHandler {
  const { limits } = deps;
  const router: RestRouter<RestRoute> = createRestRouter();
  for (const route of routes) router.add(route.method, route.template, route);
  const refuseWithoutCall = (status: number, error: ConnectError, headers?: Record<string, string>): Response =>
    Response.json(errorToRest(deps.steps.describe(error), registry, status), { status, ...(headers && { headers }) });

  return (request, path, address) => {
    const found = router.find(request.method, path);
    switch (found.kind) {
      case "none":
        return undefined;
      case "malformed":
        return refuseWithoutCall(
          400,
          new ConnectError(`the path ${path} is not percent-encoded`, Code.InvalidArgument),
        );
      case "method": {
        const allow = found.allowed.join(", ");
        const error = new ConnectError(`${request.method} is not served at ${path}, but ${allow}`, Code.Unimplemented);
        return refuseWithoutCall(405, error, { allow });
      }
      case "match":
        return serve(found.target, found.values, request, address);
    }
  };

  function serve(
    route: RestRoute,
    values: readonly string[],
    request: Request,
    address: () => string,
  ): Promise<Response> {
    const { headers, url } = request;
    const queryStart = url.indexOf("?");
    return runUnary(
      route.plan,
      {
        protocolName: "rest",
        requestMethod: request.method,
        url,
        requestHeader: headers,
        get signal() {
          return request.signal;
        },
        address,
      },
      {
        protocol: "rest",
        read: async (prove) => {
          if (prove !== undefined) {
            if (queryStart >= 0) throw notSignable("a query");
            if (values.length > 0) throw notSignable("variables in its path");
            if (isEncoded(headers)) throw notSignable("a compressed body");
          }
          const body =
            route.binding.body === undefined && prove === undefined
              ? ""
              : await readBody(request, limits.readBytesMax, prove);
          const query = queryStart < 0 ? "" : url.slice(queryStart + 1);
          try {
            return buildRequest(route.binding, values, query, body);
          } catch (error) {
            throw error instanceof MuinError ? error : ConnectError.from(error, Code.InvalidArgument);
          }
        },
        reply: (message, context) => respond(200, bodyOf(route, message, registry), context),
        refuse: (error, context) => {
          const status = codeToHttpStatus(error.code);
          const delay = error.findDetails(RetryInfoSchema)[0]?.retryDelay;
          if (delay !== undefined) {
            context.responseHeader.set("retry-after", String(Number(delay.seconds) + (delay.nanos > 0 ? 1 : 0)));
          }
          return respond(status, errorToRest(error, registry, status), context);
        },
      },
      parseTimeout(headers.get("connect-timeout-ms"), limits.timeoutMsMax),
      deps,
    );
  }
}

const jsonHeaders = { "content-type": "application/json" };

function respond(status: number, body: JsonValue, context: LazyContext): Response {
  const { usedResponseHeader: header, usedResponseTrailer: trailer } = context;
  if (header === undefined && trailer === undefined) {
    return new Response(JSON.stringify(body), { status, headers: jsonHeaders });
  }
  const headers = trailerMux(header ?? new Headers(), trailer ?? new Headers());
  headers.set("content-type", jsonHeaders["content-type"]);
  return new Response(JSON.stringify(body), { status, headers });
}

function bodyOf(route: RestRoute, message: Message, registry: Registry): JsonValue {
  // Zero is a value here: a Count that stands at 0 says so.
  const json = toJson(route.plan.method.output, message, { registry, alwaysEmitImplicit: true });
  const field = route.responseField;
  return field === undefined ? json : ((json as Record<string, JsonValue>)[field.jsonName] ?? null);
}

function isEncoded(headers: Headers): boolean {
  const encoding = headers.get("content-encoding");
  return encoding !== null && encoding !== "identity";
}

async function readBody(
  request: Request,
  readBytesMax: number,
  prove: ((body: Uint8Array) => void) | undefined,
): Promise<string> {
  const { headers } = request;
  const type = headers.get("content-type");
  const encoding = headers.get("content-encoding");
  if (type !== null && type !== "application/json" && !/^application\/json\s*(;|$)/i.test(type)) {
    throw new ConnectError(
      `content-type ${type} is not taken: send the body as JSON with content-type: application/json`,
      Code.InvalidArgument,
    );
  }
  const bytes = await readBytes(request, readBytesMax);
  prove?.(bytes);
  if (!isEncoded(headers)) return new TextDecoder().decode(bytes);
  const compression = [compressionGzip, compressionBrotli].find((each) => each.name === encoding);
  if (compression === undefined) {
    throw new ConnectError(`content-encoding ${encoding} is not taken, but gzip and br are`, Code.Unimplemented);
  }
  return new TextDecoder().decode(await compression.decompress(bytes, readBytesMax));
}

function name(method: DescMethod): string {
  return `${method.parent.typeName}.${method.name}`;
}
