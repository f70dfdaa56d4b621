import {
  create,
  fromJson,
  fromJsonString,
  mergeFromJson,
  ScalarType,
  type DescField,
  type DescMessage,
  type JsonObject,
  type JsonValue,
  type Message,
} from "@bufbuild/protobuf";
import { EmptySchema } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import type { Compression } from "@connectrpc/connect/protocol";
import { MuinError } from "../../errors/muin-error.ts";
import { notSignable } from "../../identity/call-signature.ts";
import type { Call } from "../call/call.ts";
import { compressionsOf } from "../call/compressions.ts";
import { callErrors } from "../call/errors.ts";
import { readBytesMaxOf, type RpcLimits } from "../call/limits.ts";
import { readBytes } from "../call/read-bytes.ts";
import { fieldNamed, type RequestBinding } from "./binding.ts";
import { refuseEnumNumbers } from "./enum-names.ts";
import { isMask, jsonMask } from "./field-text.ts";
import { put, putQuery } from "./query.ts";
import type { RestRoute } from "./route.ts";

/**
 * Reads the message of a request to a route, whose path's variables have `values`, within what its method takes. `prove` gets the body
 * as it was sent, which must then be all of the request.
 */
export async function readRequest(
  call: Call,
  { binding, plan, json }: RestRoute,
  values: readonly string[],
  request: Request,
  limits: RpcLimits,
  prove: ((body: Uint8Array) => Promise<void>) | undefined,
): Promise<Message> {
  const { headers, url } = request;
  const bytesMax = readBytesMaxOf(plan.policy, limits);
  const queryStart = url.indexOf("?");
  if (prove !== undefined) {
    if (queryStart >= 0) throw notSignable("a query");
    if (values.length > 0) throw notSignable("variables in its path");
    if (isEncoded(headers)) throw notSignable("a compressed body");
  }
  const hasBody = binding.body !== undefined || prove !== undefined;
  const body = hasBody
    ? await readBody(call, request, compressionsOf(plan.policy, limits), bytesMax, prove)
    : undefined;
  try {
    const text = body === undefined ? "" : json.decode(body);
    return buildRequest(binding, values, queryStart < 0 ? "" : url.slice(queryStart + 1), text);
  } catch (error) {
    throw error instanceof MuinError ? error : ConnectError.from(error, Code.InvalidArgument);
  }
}

function isEncoded(headers: Headers): boolean {
  const encoding = headers.get("content-encoding");
  return encoding !== null && encoding.toLowerCase() !== "identity";
}

async function readBody(
  call: Call,
  request: Request,
  compressions: readonly Compression[],
  bytesMax: number,
  prove: ((body: Uint8Array) => Promise<void>) | undefined,
): Promise<Uint8Array> {
  const { headers } = request;
  const type = headers.get("content-type");
  const encoding = headers.get("content-encoding");
  if (type !== null && type !== "application/json" && !/^application\/json\s*(;|$)/i.test(type)) {
    throw callErrors.contentTypeUnsupported({
      message: `content-type ${type} is not taken: send the body as JSON with content-type: application/json`,
    });
  }
  const bytes = await readBytes(call, request, bytesMax);
  await prove?.(bytes);
  if (!isEncoded(headers)) return bytes;
  const compression = compressions.find((each) => each.name === encoding?.toLowerCase());
  if (compression === undefined) {
    const taken = compressions.map(({ name }) => name).join(" or ");
    throw new ConnectError(`content-encoding ${encoding} is not taken here, but ${taken}`, Code.Unimplemented);
  }
  return compression.decompress(bytes, bytesMax);
}

/**
 * Builds the request message. The body is protobuf JSON, in which unknown fields are errors: a misspelt one would otherwise
 * change what the call does. The path wins over the body; the query fills what neither names, by field names with dots.
 */
function buildRequest(binding: RequestBinding, pathValues: readonly string[], query: string, body: string): Message {
  const { input, json } = binding;
  let message: Message;
  if (binding.body === "*" && body !== "") {
    const value = withJsonMasks(input, parseJson(body));
    refuseEnumNumbers(input, value);
    message = fromJson(input, value, json);
  } else {
    message = create(input);
    if (binding.body !== undefined && binding.body !== "*" && body !== "") {
      const value = parseJson(body);
      refuseWrapped(input, binding.body, value);
      const whole = { [binding.body.jsonName]: value };
      refuseEnumNumbers(input, whole);
      mergeFromJson(input, message, whole, json);
    }
  }
  let rest: JsonObject | undefined;
  for (const [index, fields] of binding.variables.entries()) {
    const value = pathValues[index]!;
    const [field] = fields;
    if (fields.length === 1 && field!.fieldKind === "scalar" && field!.scalar === ScalarType.STRING) {
      (message as unknown as Record<string, unknown>)[field!.localName] = value;
    } else {
      put((rest ??= {}), fields, value);
    }
  }
  if (query !== "") {
    rest ??= {};
    putQuery(rest, binding, query);
  }
  return rest === undefined ? message : mergeFromJson(input, message, rest, json);
}

/** Says what to do to a body that has the fields of the whole request where the body is one of them. */
function refuseWrapped(input: DescMessage, body: DescField, value: JsonValue): void {
  if (body.fieldKind !== "message" || !isObject(value)) return;
  for (const key of Object.keys(value)) {
    const field = fieldNamed(body.message, key) === undefined ? fieldNamed(input, key) : undefined;
    if (field === undefined) continue;
    const advice =
      field === body ? `send what stands in ${key} without it` : `give ${key} as a query parameter or in the path`;
    throw callErrors.requestMalformed({
      message: `the body is the request's field ${body.name} itself: ${advice}`,
      violations: [{ field: key, description: advice }],
    });
  }
}

/** `json` with its field masks in the form that protobuf JSON knows. */
function withJsonMasks(input: DescMessage, json: JsonValue): JsonValue {
  if (!isObject(json)) return json;
  const changed = { ...json };
  for (const field of input.fields.filter(isMask)) {
    for (const key of [field.name, field.jsonName]) {
      const mask = changed[key];
      if (typeof mask === "string") changed[key] = jsonMask(mask);
    }
  }
  return changed;
}

function isObject(value: JsonValue): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** JSON in which each key stands once. */
function parseJson(body: string): JsonValue {
  const json = parsed(body);
  // The library looks for keys that stand twice, of which JSON.parse takes the last; there is nothing else in it to read.
  if (isObject(json)) fromJsonString(EmptySchema, body, { ignoreUnknownFields: true });
  return json;
}

function parsed(body: string): JsonValue {
  try {
    return JSON.parse(body) as JsonValue;
  } catch {
    throw callErrors.requestMalformed({ message: "the body is no JSON" }); // The parser knows one failure only.
  }
}
