import {
  type DescField,
  type DescMessage,
  type JsonValue,
  type MessageShape,
  ScalarType,
  toJson,
} from "@bufbuild/protobuf";

/** A JSON object. */
export type PlainObject = Readonly<Record<string, JsonValue>>;

const wide: ReadonlySet<ScalarType> = new Set([
  ScalarType.INT64,
  ScalarType.UINT64,
  ScalarType.SINT64,
  ScalarType.FIXED64,
  ScalarType.SFIXED64,
]);

/**
 * A message as JSON for scripts: protobuf JSON with the proto's field names and all fields, but 64-bit integers as numbers: all of
 * Muin's are within +-(2^53 - 1).
 */
export function plainMessage<D extends DescMessage>(schema: D, message: MessageShape<D>): PlainObject {
  const json = toJson(schema, message, { useProtoFieldName: true, alwaysEmitImplicit: true });
  return numbered(schema, json as PlainObject);
}

/** `plainMessage` of one kind of message. */
export function plain<D extends DescMessage>(schema: D): (message: MessageShape<D>) => PlainObject {
  return (message) => plainMessage(schema, message);
}

function numbered(schema: DescMessage, json: PlainObject): PlainObject {
  const result: Record<string, JsonValue> = { ...json };
  for (const field of schema.fields) {
    const value = json[field.name];
    if (value !== undefined)
      result[field.name] = Array.isArray(value) ? value.map((item) => one(field, item)) : one(field, value);
  }
  return result;
}

function one(field: DescField, value: JsonValue): JsonValue {
  if (field.fieldKind === "map") return value;
  if (field.message !== undefined) {
    // Well-known types, timestamps for one, are not objects in JSON.
    return typeof value === "object" && value !== null ? numbered(field.message, value as PlainObject) : value;
  }
  return field.scalar !== undefined && wide.has(field.scalar) ? Number(value) : value;
}
