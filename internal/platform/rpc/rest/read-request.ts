import {
  create,
  fromJson,
  fromJsonString,
  mergeFromJson,
  ScalarType,
  type DescField,
  type DescMessage,
  type JsonObject,
  type JsonReadOptions,
  type JsonValue,
  type Message,
} from "@bufbuild/protobuf";
import { isWrapperDesc } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import { compressionBrotli, compressionGzip } from "@connectrpc/connect-node";
import { MuinError } from "../../errors/muin-error.ts";
import { notSignable } from "../../identity/call-signature.ts";
import { callErrors } from "../call/errors.ts";
import { readBytes } from "../call/read-bytes.ts";

/** Where the parts of an HTTP request go in a request message. */
export interface RequestBinding {
  readonly input: DescMessage;
  /** "*" for the whole message, a field for that field, `undefined` for no body. */
  readonly body: "*" | DescField | undefined;
  /** Fields that the path's variables fill, in order, each from the message down. */
  readonly variables: readonly (readonly DescField[])[];
  readonly json: Partial<JsonReadOptions>;
}

/**
 * Reads the message of a request to a route, whose path's variables have `values`: `bytesMax` bytes at the most. `prove` gets the body
 * as it was sent, which must then be all of the request.
 */
export async function readRequest(
  binding: RequestBinding,
  values: readonly string[],
  request: Request,
  bytesMax: number,
  prove: ((body: Uint8Array) => void) | undefined,
): Promise<Message> {
  const { headers, url } = request;
  const queryStart = url.indexOf("?");
  if (prove !== undefined) {
    if (queryStart >= 0) throw notSignable("a query");
    if (values.length > 0) throw notSignable("variables in its path");
    if (isEncoded(headers)) throw notSignable("a compressed body");
  }
  const hasBody = binding.body !== undefined || prove !== undefined;
  const body = hasBody ? await readBody(request, bytesMax, prove) : "";
  try {
    return buildRequest(binding, values, queryStart < 0 ? "" : url.slice(queryStart + 1), body);
  } catch (error) {
    throw error instanceof MuinError ? error : ConnectError.from(error, Code.InvalidArgument);
  }
}

function isEncoded(headers: Headers): boolean {
  const encoding = headers.get("content-encoding");
  return encoding !== null && encoding !== "identity";
}

async function readBody(
  request: Request,
  bytesMax: number,
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
  const bytes = await readBytes(request, bytesMax);
  prove?.(bytes);
  if (!isEncoded(headers)) return new TextDecoder().decode(bytes);
  const compression = [compressionGzip, compressionBrotli].find((each) => each.name === encoding);
  if (compression === undefined) {
    throw new ConnectError(`content-encoding ${encoding} is not taken, but gzip and br are`, Code.Unimplemented);
  }
  return new TextDecoder().decode(await compression.decompress(bytes, bytesMax));
}

/** The field that `path`, of protobuf names, leads to, with those on the way. Throws when there is none. */
export function resolveFields(input: DescMessage, path: readonly string[]): readonly DescField[] {
  const fields: DescField[] = [];
  let message: DescMessage | undefined = input;
  for (const name of path) {
    const field: DescField | undefined = message === undefined ? undefined : fieldNamed(message, name);
    if (field === undefined) throw new Error(`${input.typeName} has no field ${path.join(".")}`);
    fields.push(field);
    message = field.fieldKind === "message" ? field.message : undefined;
  }
  return fields;
}

/**
 * Builds the request message. The body is protobuf JSON, in which unknown fields are errors: a misspelt one would otherwise
 * change what the call does. The path wins over the body; the query fills what neither names, by field names with dots.
 */
export function buildRequest(
  binding: RequestBinding,
  pathValues: readonly string[],
  query: string,
  body: string,
): Message {
  const { input, json } = binding;
  let message: Message;
  if (binding.body === "*" && body !== "") {
    message = input.fields.some(isMask)
      ? fromJson(input, withJsonMasks(input, parseJson(body)), json)
      : fromJsonString(input, body, json);
  } else {
    message = create(input);
    if (binding.body !== undefined && binding.body !== "*" && body !== "") {
      const value = parseJson(body);
      refuseWrapped(input, binding.body, value);
      mergeFromJson(input, message, { [binding.body.jsonName]: value }, json);
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
    for (const [name, value] of new URLSearchParams(query)) put(rest, queryField(binding, name), value);
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

/** A field mask in lowerCamelCase, as protobuf JSON wants it: callers also write the names of the protos. */
function jsonMask(mask: string): string {
  return mask
    .split(",")
    .map((path) => path.trim().replaceAll(/_([a-z])/g, (_, letter: string) => letter.toUpperCase()))
    .join(",");
}

/** The field by its name in the proto or in JSON. */
function fieldNamed(message: DescMessage, name: string): DescField | undefined {
  return message.fields.find((field) => field.name === name || field.jsonName === name);
}

function isMask(field: DescField): boolean {
  return field.fieldKind === "message" && field.message.typeName === "google.protobuf.FieldMask";
}

function isObject(value: JsonValue): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function queryField(binding: RequestBinding, name: string): readonly DescField[] {
  const refuse = (description: string): never => {
    throw callErrors.queryParameterInvalid({
      message: `query parameter ${name} ${description}`,
      violations: [{ field: name, description }],
    });
  };
  if (binding.body === "*") return refuse("is not taken here: send it in the body");
  let fields: readonly DescField[];
  try {
    fields = resolveFields(binding.input, name.split("."));
  } catch {
    return refuse("is unknown");
  }
  const [first] = fields;
  const last = fields.at(-1)!;
  if (first === binding.body) return refuse("belongs in the body");
  if (binding.variables.some((path) => path.length === fields.length && path.every((f, i) => f === fields[i]))) {
    return refuse("stands in the path already");
  }
  if (fields.slice(0, -1).some((field) => field.fieldKind !== "message")) return refuse("is unknown");
  if (last.fieldKind === "map" || (last.fieldKind === "list" && last.listKind === "message")) {
    return refuse("cannot be given as a query parameter");
  }
  if (last.fieldKind === "message" && !hasStringForm(last.message)) return refuse("needs its fields named, with a dot");
  return fields;
}

/** Puts a value that came as text where `fields` lead, in protobuf JSON. */
function put(target: JsonObject, fields: readonly DescField[], text: string): void {
  let object = target;
  for (const field of fields.slice(0, -1)) object = (object[field.jsonName] ??= {}) as JsonObject;
  const last = fields.at(-1)!;
  const value = jsonOf(last, text);
  if (last.fieldKind === "list") {
    ((object[last.jsonName] ??= []) as JsonValue[]).push(value);
  } else if (last.jsonName in object) {
    throw callErrors.queryParameterInvalid({
      message: `query parameter ${last.name} stands twice`,
      violations: [{ field: last.name, description: "must stand once" }],
    });
  } else {
    object[last.jsonName] = value;
  }
}

/** The protobuf JSON of one value: numbers may stay strings, booleans and numbers of enums may not. */
function jsonOf(field: DescField, text: string): JsonValue {
  if (field.fieldKind === "enum" || (field.fieldKind === "list" && field.listKind === "enum")) {
    if (/^-?\d+$/.test(text)) return Number(text);
    const names = field.enum.values.map(({ name }) => name);
    if (names.includes(text)) return text;
    const description = `must be one of ${names.join(", ")}`;
    throw callErrors.queryParameterInvalid({
      message: `query parameter ${field.name} ${description}`,
      violations: [{ field: field.name, description }],
    });
  }
  if (isMask(field)) return jsonMask(text);
  const scalar =
    field.fieldKind === "scalar" || (field.fieldKind === "list" && field.listKind === "scalar")
      ? field.scalar
      : undefined;
  const isBool =
    scalar === ScalarType.BOOL ||
    (field.fieldKind === "message" && field.message.typeName === "google.protobuf.BoolValue");
  if (isBool && (text === "true" || text === "false")) return text === "true";
  return text;
}

/** Whether a message is a well-known one whose JSON is one string, number or boolean. */
export function hasStringForm(message: DescMessage): boolean {
  return (
    isWrapperDesc(message) ||
    message.typeName === "google.protobuf.Timestamp" ||
    message.typeName === "google.protobuf.Duration" ||
    message.typeName === "google.protobuf.FieldMask"
  );
}

function parseJson(body: string): JsonValue {
  try {
    return JSON.parse(body) as JsonValue;
  } catch (error) {
    throw callErrors.requestMalformed({
      message: `the body is no JSON: ${(error as Error).message}`,
    });
  }
}
