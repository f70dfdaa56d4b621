import type { Message, Registry } from "@bufbuild/protobuf";
import { createMethodSerializationLookup, mergeNonProtocolHeaders } from "@connectrpc/connect/protocol";
import { codeToHttpStatus, errorToJsonBytes, parseTimeout, trailerMux } from "@connectrpc/connect/protocol-connect";
import type { LazyContext } from "../call/call-context.ts";
import type { MethodPlan } from "../call/plan.ts";
import { readBytes } from "../call/read-bytes.ts";
import { runUnary, type UnaryDeps } from "../call/run-unary.ts";

/** Serves a request, or answers `undefined` when it is unusual and the generic lane must. */
export type FastHandler = (request: Request, address: () => string) => Promise<Response> | undefined;

/**
 * Serves hot methods over plain Connect: unary POST, binary or JSON, identity encoding. Several times as fast as the generic
 * lane, with the same steps and the same answers. Compression, GET and other codecs are left to the generic lane.
 */
export function createFastLane(
  plans: ReadonlyMap<string, MethodPlan>,
  registry: Registry,
  deps: UnaryDeps,
): ReadonlyMap<string, FastHandler> {
  const handlers = new Map<string, FastHandler>();
  for (const plan of plans.values()) if (plan.hot) handlers.set(plan.path, createHandler(plan, registry, deps));
  return handlers;
}

const contentTypeBinary = "application/proto";
const contentTypeJson = "application/json";

function createHandler(plan: MethodPlan, registry: Registry, deps: UnaryDeps): FastHandler {
  const { limits } = deps;
  const serialization = createMethodSerializationLookup(
    plan.method,
    undefined,
    { registry },
    {
      readMaxBytes: limits.readBytesMax,
      writeMaxBytes: limits.writeBytesMax,
    },
  );
  return (request, address) => {
    const { headers } = request;
    const contentType = headers.get("content-type");
    const binary = contentType === contentTypeBinary;
    if (request.method !== "POST" || (!binary && contentType !== contentTypeJson)) return undefined;
    if (headers.has("content-encoding")) return undefined;

    const input = serialization.getI(binary);
    const output = serialization.getO(binary);
    return runUnary(
      plan,
      {
        protocolName: "connect",
        requestMethod: "POST",
        url: request.url,
        requestHeader: headers,
        get signal() {
          return request.signal;
        },
        address,
      },
      {
        protocol: "connect",
        read: async (prove) => {
          const body = await readBytes(request, limits.readBytesMax);
          prove?.(body);
          return input.parse(body);
        },
        reply: (message: Message, context) => respond(200, output.serialize(message), contentType, context),
        refuse: (error, context) => {
          if (!error.isWireError && !isEmpty(error.metadata)) {
            mergeNonProtocolHeaders(context.responseHeader, error.metadata);
          }
          return respond(codeToHttpStatus(error.code), errorToJsonBytes(error, { registry }), contentTypeJson, context);
        },
      },
      parseTimeout(headers.get("connect-timeout-ms"), limits.timeoutMsMax),
      deps,
    );
  };
}

const headersBinary = { "content-type": contentTypeBinary };
const headersJson = { "content-type": contentTypeJson };

function respond(status: number, body: Uint8Array, contentType: string, context: LazyContext): Response {
  const header = context.usedResponseHeader;
  const trailer = context.usedResponseTrailer;
  if (header === undefined && trailer === undefined) {
    return new Response(body as Uint8Array<ArrayBuffer>, {
      status,
      headers: contentType === contentTypeBinary ? headersBinary : headersJson,
    });
  }
  const headers = trailerMux(header ?? new Headers(), trailer ?? new Headers());
  headers.set("content-type", contentType);
  return new Response(body as Uint8Array<ArrayBuffer>, { status, headers });
}

function isEmpty(headers: Headers): boolean {
  for (const _ of headers) return false;
  return true;
}
