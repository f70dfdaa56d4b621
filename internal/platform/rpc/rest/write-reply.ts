import {
  create,
  fromBinary,
  toJson,
  type DescMessage,
  type JsonObject,
  type JsonValue,
  type Registry,
} from "@bufbuild/protobuf";
import { base64Encode } from "@bufbuild/protobuf/wire";
import { Code, type ConnectError } from "@connectrpc/connect";
import { codeToString } from "@connectrpc/connect/protocol-connect";

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
