import {
  getOption,
  hasOption,
  isFieldSet,
  ScalarType,
  type DescEnum,
  type DescField,
  type DescMessage,
  type JsonObject,
} from "@bufbuild/protobuf";
import { field as fieldOption, StringRulesSchema } from "../../../gen/buf/validate/validate_pb.ts";
import type { Comments } from "./comments.ts";

/** Collects the schemas of the messages and enums that are spoken of. */
export class Schemas {
  readonly #schemas = new Map<string, JsonObject>();
  readonly #comments: Comments;

  constructor(comments: Comments) {
    this.#comments = comments;
  }

  /** All that were spoken of, by full name, in its order. */
  all(): Record<string, JsonObject> {
    return Object.fromEntries([...this.#schemas].toSorted(([a], [b]) => (a < b ? -1 : 1)));
  }

  /** What the protos say of a full name, as a schema's member; empty for what they say nothing of. */
  described(name: string): { description?: string } {
    const description = this.#comments[name];
    return description === undefined ? {} : { description };
  }

  /** A message or enum by reference; its schema is collected. A well-known message stands for itself. */
  reference(type: DescMessage | DescEnum): JsonObject {
    const wellKnown = wellKnownSchemas[type.typeName];
    if (wellKnown !== undefined) return wellKnown;
    if (!this.#schemas.has(type.typeName)) {
      this.#schemas.set(type.typeName, {}); // Taken before its fields are described: a message may contain itself.
      this.#schemas.set(
        type.typeName,
        type.kind === "enum" ? this.#enum(type) : { ...this.described(type.typeName), ...this.object(type.fields) },
      );
    }
    return { $ref: `#/components/schemas/${type.typeName}` };
  }

  /** An object with these fields. */
  object(fields: readonly DescField[]): JsonObject {
    return {
      type: "object",
      properties: Object.fromEntries(fields.map((field) => [field.jsonName, this.field(field)])),
    };
  }

  /** A field's type, with what the protos say of the field. */
  field(field: DescField): JsonObject {
    return { ...this.type(field), ...this.described(nameOf(field)) };
  }

  /** A field's type alone. */
  type(field: DescField): JsonObject {
    switch (field.fieldKind) {
      case "scalar":
        return { ...scalarSchema(field.scalar), ...stringRules(field) };
      case "enum":
        return this.reference(field.enum);
      case "message":
        return this.reference(field.message);
      case "list":
        if (field.listKind === "scalar") return { type: "array", items: scalarSchema(field.scalar) };
        return { type: "array", items: this.reference(field.listKind === "enum" ? field.enum : field.message) };
      case "map":
        return {
          type: "object",
          additionalProperties:
            field.mapKind === "scalar"
              ? scalarSchema(field.scalar)
              : this.reference(field.mapKind === "enum" ? field.enum : field.message),
        };
    }
  }

  #enum(type: DescEnum): JsonObject {
    const values = type.values.map(({ name }) => {
      const comment = this.#comments[`${type.typeName}.${name}`];
      return comment === undefined ? name : `${name}: ${comment}`;
    });
    return {
      type: "string",
      description: [...Object.values(this.described(type.typeName)), ...values.map((value) => `- ${value}`)].join("\n"),
      enum: type.values.map(({ name }) => name),
    };
  }
}

/** A field's full name. */
export function nameOf(field: DescField): string {
  return `${field.parent.typeName}.${field.name}`;
}

function stringRules(field: DescField): JsonObject {
  if (!hasOption(field, fieldOption)) return {};
  const { type } = getOption(field, fieldOption);
  if (type.case !== "string") return {};
  const rules = type.value;
  const set = StringRulesSchema.field;
  return {
    ...(isFieldSet(rules, set.minLen) ? { minLength: Number(rules.minLen) } : {}),
    ...(isFieldSet(rules, set.maxLen) ? { maxLength: Number(rules.maxLen) } : {}),
    ...(isFieldSet(rules, set.pattern) ? { pattern: rules.pattern } : {}),
  };
}

function scalarSchema(scalar: ScalarType): JsonObject {
  switch (scalar) {
    case ScalarType.BOOL:
      return { type: "boolean" };
    case ScalarType.STRING:
      return { type: "string" };
    case ScalarType.BYTES:
      return { type: "string", contentEncoding: "base64" };
    case ScalarType.FLOAT:
    case ScalarType.DOUBLE:
      return { type: ["number", "string"] }; // "NaN", "Infinity"
    case ScalarType.INT32:
    case ScalarType.SINT32:
    case ScalarType.SFIXED32:
    case ScalarType.UINT32:
    case ScalarType.FIXED32:
      return { type: "integer", format: "int32" };
    case ScalarType.INT64:
    case ScalarType.SINT64:
    case ScalarType.SFIXED64:
    case ScalarType.UINT64:
    case ScalarType.FIXED64:
      return { type: "string", format: "int64" };
  }
}

/** Messages whose JSON is not that of their fields: https://protobuf.dev/programming-guides/json. */
const wellKnownSchemas: Readonly<Record<string, JsonObject>> = {
  "google.protobuf.Timestamp": { type: "string", format: "date-time" },
  "google.protobuf.Duration": { type: "string", pattern: "^-?[0-9]+(\\.[0-9]{1,9})?s$" },
  "google.protobuf.FieldMask": { type: "string" },
  "google.protobuf.Empty": { type: "object" },
  "google.protobuf.Struct": { type: "object", additionalProperties: true },
  "google.protobuf.Value": {},
  "google.protobuf.ListValue": { type: "array" },
  "google.protobuf.Any": {
    type: "object",
    required: ["@type"],
    properties: { "@type": { type: "string" } },
    additionalProperties: true,
  },
  "google.protobuf.BoolValue": { type: ["boolean", "null"] },
  "google.protobuf.StringValue": { type: ["string", "null"] },
  "google.protobuf.BytesValue": { type: ["string", "null"], contentEncoding: "base64" },
  "google.protobuf.Int32Value": { type: ["integer", "null"] },
  "google.protobuf.UInt32Value": { type: ["integer", "null"] },
  "google.protobuf.Int64Value": { type: ["string", "null"], format: "int64" },
  "google.protobuf.UInt64Value": { type: ["string", "null"], format: "int64" },
  "google.protobuf.FloatValue": { type: ["number", "string", "null"] },
  "google.protobuf.DoubleValue": { type: ["number", "string", "null"] },
};
