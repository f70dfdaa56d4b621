import {
  create,
  fromBinary,
  toJson,
  type DescMessage,
  type JsonObject,
  type JsonValue,
  type Message,
  type Registry,
} from "@bufbuild/protobuf";
import { base64Encode } from "@bufbuild/protobuf/wire";
import { Code, type ConnectError } from "@connectrpc/connect";
import { codeToHttpStatus, codeToString, trailerMux } from "@connectrpc/connect/protocol-connect";
import { ErrorInfoSchema, RetryInfoSchema } from "../../../gen/google/rpc/error_details_pb.ts";
import type { CallContext } from "../call/call-context.ts";
import { callErrors } from "../call/errors.ts";
import type { RestRoute } from "./route.ts";

const jsonHeaders = { "content-type": "application/json" };

/** A response with the headers and trailers that the handler set. */
export function respond(status: number, body: JsonValue, context: CallContext): Response {
  const { usedResponseHeader: header, usedResponseTrailer: trailer } = context;
  if (header === undefined && trailer === undefined) {
    return new Response(JSON.stringify(body), { status, headers: jsonHeaders });
  }
  const headers = trailerMux(header ?? new Headers(), trailer ?? new Headers());
  headers.set("content-type", jsonHeaders["content-type"]);
  return new Response(JSON.stringify(body), { status, headers });
}

/** A reply in protobuf JSON, or the part of it that the route answers with. Zero is a value here: a Count that stands at 0 says so. */
export function replyToRest(route: RestRoute, message: Message, registry: Registry): JsonValue {
  const json = toJson(route.plan.method.output, message, { registry, alwaysEmitImplicit: true });
  const field = route.responseField;
  return field === undefined ? json : ((json as Record<string, JsonValue>)[field.jsonName] ?? null);
}

/** Says in HTTP's words, in whole seconds, when to try again. */
export function setRetryAfter(error: ConnectError, context: CallContext): void {
  const delay = error.findDetails(RetryInfoSchema)[0]?.retryDelay;
  if (delay === undefined) return;
  context.responseHeader.set("retry-after", String(Number(delay.seconds) + (delay.nanos > 0 ? 1 : 0)));
}

/** Where HTTP has a better status for an error's reason than for its code. */
const statuses: Readonly<Record<string, number>> = {
  [callErrors.table.messageTooLarge.reason]: 413,
  [callErrors.table.contentTypeUnsupported.reason]: 415,
};

/** The HTTP status of an error that was mapped. */
export function statusOf(error: ConnectError): number {
  const reason = error.findDetails(ErrorInfoSchema)[0]?.reason ?? "";
  return statuses[reason] ?? codeToHttpStatus(error.code);
}

/** An error as google.rpc.Status in JSON: https://cloud.google.com/apis/design/errors#http_mapping. */
export function errorToRest(error: ConnectError, registry: Registry, status: number): JsonObject {
  return {
    error: {
      code: status,
      status: error.code === Code.Canceled ? "CANCELLED" : codeToString(error.code).toUpperCase(),
      message: error.rawMessage,
      details: error.details.map((detail): JsonValue => {
        if ("desc" in detail) return anyJson(detail.desc, create(detail.desc, detail.value), registry);
        const schema = registry.getMessage(detail.type);
        const typeUrl = `type.googleapis.com/${detail.type}`;
        if (schema === undefined) return { "@type": typeUrl, value: base64Encode(detail.value) };
        return anyJson(schema, fromBinary(schema, detail.value), registry);
      }),
    },
  };
}

function anyJson(schema: DescMessage, message: Parameters<typeof toJson>[1], registry: Registry): JsonValue {
  const json = toJson(schema, message, { registry });
  const typeUrl = `type.googleapis.com/${schema.typeName}`;
  // Well-known types whose JSON is no object stand under "value", as in google.protobuf.Any.
  return typeof json === "object" && json !== null && !Array.isArray(json)
    ? { "@type": typeUrl, ...json }
    : { "@type": typeUrl, value: json };
}
