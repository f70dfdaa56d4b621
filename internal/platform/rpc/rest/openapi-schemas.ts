import {
  getOption,
  hasOption,
  ScalarType,
  type DescEnum,
  type DescField,
  type DescMessage,
  type JsonObject,
} from "@bufbuild/protobuf";
import { FeatureSet_FieldPresence } from "@bufbuild/protobuf/wkt";
import { oneof as oneofOption, type FieldRules } from "../../../gen/buf/validate/validate_pb.ts";
import type { Comments } from "./comments.ts";
import { decimalPattern } from "./decimal-pattern.ts";
import {
  base64Rules,
  bounds,
  durationPattern,
  excludedValues,
  isRequired,
  itemRules,
  listRules,
  mapRules,
  rulesOf,
  textRules,
  valueRules,
} from "./openapi-rules.ts";

/**
 * Where a value stands. A body is read as generously as protobuf JSON asks, by its rules: whole numbers also as text, null as absent. A
 * query and a path hold one text per value. A reply is written in one form alone, and always has the fields that cannot be absent.
 */
export type Place = "body" | "query" | "reply";

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

  /**
   * A message by reference; its schema is collected, under its full name as it stands in replies, with `.Input` after it as it stands
   * in bodies. A well-known message stands for itself.
   */
  message(type: DescMessage, place: Place, rules?: FieldRules): JsonObject {
    const wellKnown = wellKnownSchema(type, place, rules);
    if (wellKnown !== undefined) return wellKnown;
    return this.#collected(place === "reply" ? type.typeName : `${type.typeName}.Input`, () => ({
      ...this.described(type.typeName),
      ...this.object(type.fields, place),
    }));
  }

  /** An object with these fields. */
  object(fields: readonly DescField[], place: Place): JsonObject {
    const required = fields
      .filter((field) => (place === "reply" ? isAlwaysWritten(field) : isRequired(field)))
      .map(({ jsonName }) => jsonName);
    return {
      type: "object",
      ...(required.length === 0 ? {} : { required }),
      properties: Object.fromEntries(fields.map((field) => [field.jsonName, this.field(field, place)])),
      ...(place === "body" ? { ...choiceOf(fields), additionalProperties: false } : {}),
    };
  }

  /** A field's type, with what the protos say of the field. */
  field(field: DescField, place: Place): JsonObject {
    const type = this.type(field, place);
    const isNullable = place === "body" && !isRequired(field);
    return { ...(isNullable ? orNull(type) : type), ...this.described(nameOf(field)) };
  }

  /** A field's type alone. Rules are for requests: of a reply they only say which fractions are numbers for sure. */
  type(field: DescField, place: Place): JsonObject {
    const rules = place === "reply" && !isFraction(field) ? undefined : rulesOf(field);
    switch (field.fieldKind) {
      case "scalar":
        return scalarSchema(field.scalar, place, rules);
      case "enum":
        return this.#enum(field.enum, rules);
      case "message":
        return this.message(field.message, place, rules);
      case "list": {
        const items = this.#element(
          field.listKind === "scalar" ? field.scalar : elementOf(field),
          place,
          itemRules(rules),
        );
        return { type: "array", ...listRules(rules), items };
      }
      case "map": {
        const values =
          field.mapKind === "scalar" ? field.scalar : field.mapKind === "enum" ? field.enum : field.message;
        const additionalProperties = this.#element(values, place, valueRules(rules));
        return { type: "object", ...mapRules(rules), additionalProperties };
      }
    }
  }

  #element(type: ScalarType | DescEnum | DescMessage, place: Place, rules: FieldRules | undefined): JsonObject {
    if (typeof type === "number") return scalarSchema(type, place, rules);
    return type.kind === "enum" ? this.#enum(type, rules) : this.message(type, place, rules);
  }

  /** An enum by reference, or in place where its rules leave values out. */
  #enum(type: DescEnum, rules: FieldRules | undefined): JsonObject {
    const excluded = excludedValues(rules);
    const admitted = type.values.filter(({ number }) => !excluded.has(number)).map(({ name }) => name);
    if (admitted.length < type.values.length) return { type: "string", enum: admitted };
    return this.#collected(type.typeName, () => {
      const lines = type.values.map(({ name }) => {
        const comment = this.#comments[`${type.typeName}.${name}`];
        return `- ${comment === undefined ? name : `${name}: ${comment}`}`;
      });
      const description = [...Object.values(this.described(type.typeName)), ...lines].join("\n");
      return { type: "string", description, enum: admitted };
    });
  }

  #collected(name: string, describe: () => JsonObject): JsonObject {
    if (!this.#schemas.has(name)) {
      this.#schemas.set(name, {}); // Taken before its fields are described: a message may contain itself.
      this.#schemas.set(name, describe());
    }
    return { $ref: `#/components/schemas/${name}` };
  }
}

/** A field's full name. */
export function nameOf(field: DescField): string {
  return `${field.parent.typeName}.${field.name}`;
}

/** Whether a reply has the field whatever its value: what cannot be absent is written even at its default. */
function isAlwaysWritten(field: DescField): boolean {
  return (
    field.presence === FeatureSet_FieldPresence.IMPLICIT || field.fieldKind === "list" || field.fieldKind === "map"
  );
}

/** Of the fields of a oneof one is given, or none where none is required. */
function choiceOf(fields: readonly DescField[]): JsonObject {
  const choices = [...new Set(fields.flatMap(({ oneof }) => oneof ?? []))].map((oneof): JsonObject => {
    const each = oneof.fields.map(({ jsonName }) => ({
      required: [jsonName],
      properties: { [jsonName]: { not: { type: "null" } } },
    }));
    const isRequired = hasOption(oneof, oneofOption) && getOption(oneof, oneofOption).required;
    return { oneOf: isRequired ? each : [...each, { not: { anyOf: each } }] };
  });
  return choices.length > 1 ? { allOf: choices } : (choices[0] ?? {});
}

function elementOf(field: DescField & { fieldKind: "list" }): DescEnum | DescMessage {
  if (field.listKind === "scalar") throw new Error(`${nameOf(field)} lists scalars`);
  return field.listKind === "enum" ? field.enum : field.message;
}

/** The schema, or null: protobuf JSON reads it as absent. */
function orNull(schema: JsonObject): JsonObject {
  const { type, anyOf, enum: values } = schema;
  if (typeof type === "string" && anyOf === undefined && values === undefined)
    return { ...schema, type: [type, "null"] };
  const isAnything = Object.keys(schema).length === 0;
  if (isAnything) return schema;
  return { anyOf: [...(type === undefined && Array.isArray(anyOf) ? anyOf : [schema]), { type: "null" }] };
}

function scalarSchema(scalar: ScalarType, place: Place, rules: FieldRules | undefined): JsonObject {
  const range = ranges[scalar];
  if (range !== undefined) return wholeNumber(range, place, rules);
  if (scalar === ScalarType.BOOL) return { type: "boolean" };
  if (scalar === ScalarType.STRING) return { type: "string", ...textRules(rules) };
  if (scalar === ScalarType.BYTES) return { type: "string", contentEncoding: "base64", ...base64Rules(rules) };
  return place === "reply" && !isBounded(rules)
    ? { anyOf: [{ type: "number" }, { type: "string", enum: ["NaN", "Infinity", "-Infinity"] }] }
    : { type: "number", ...numberRules(rules) };
}

const uint32Max = 2n ** 32n - 1n;

/** The range of each whole number's type. */
const ranges: Readonly<Partial<Record<ScalarType, readonly [min: bigint, max: bigint]>>> = {
  [ScalarType.INT32]: [-(2n ** 31n), 2n ** 31n - 1n],
  [ScalarType.SINT32]: [-(2n ** 31n), 2n ** 31n - 1n],
  [ScalarType.SFIXED32]: [-(2n ** 31n), 2n ** 31n - 1n],
  [ScalarType.UINT32]: [0n, 2n ** 32n - 1n],
  [ScalarType.FIXED32]: [0n, 2n ** 32n - 1n],
  [ScalarType.INT64]: [-(2n ** 63n), 2n ** 63n - 1n],
  [ScalarType.SINT64]: [-(2n ** 63n), 2n ** 63n - 1n],
  [ScalarType.SFIXED64]: [-(2n ** 63n), 2n ** 63n - 1n],
  [ScalarType.UINT64]: [0n, 2n ** 64n - 1n],
  [ScalarType.FIXED64]: [0n, 2n ** 64n - 1n],
};

function wholeNumber(
  [least, most]: readonly [min: bigint, max: bigint],
  place: Place,
  rules: FieldRules | undefined,
): JsonObject {
  const isLong = most > uint32Max; // Protobuf JSON writes these as text.
  const format = `${least < 0n ? "" : "u"}int${isLong ? 64 : 32}`;
  if (place === "reply") {
    return isLong ? { type: "string", format, pattern: "^-?[0-9]+$" } : { type: "integer", format };
  }
  const { min = least, max = most } = bounds(rules);
  const number = { type: "integer", format, minimum: exactly(min), maximum: exactly(max) };
  if (place === "query") return number;
  return { anyOf: [number, { type: "string", pattern: decimalPattern(BigInt(min), BigInt(max)) }] };
}

function isFraction(field: DescField): boolean {
  return field.scalar === ScalarType.DOUBLE || field.scalar === ScalarType.FLOAT;
}

/** The number, or the nearest one that JSON's readers keep as it is (RFC 8259, section 6). */
function exactly(value: bigint | number): number {
  return Math.max(Number.MIN_SAFE_INTEGER, Math.min(Number.MAX_SAFE_INTEGER, Number(value)));
}

/** Whether a fraction has both bounds, within which it is a number. */
function isBounded(rules: FieldRules | undefined): boolean {
  const { min, max } = bounds(rules);
  return min !== undefined && max !== undefined;
}

function numberRules(rules: FieldRules | undefined): JsonObject {
  const { min, max } = bounds(rules);
  return {
    ...(min === undefined ? {} : { minimum: Number(min) }),
    ...(max === undefined ? {} : { maximum: Number(max) }),
  };
}

/** Messages whose JSON is not that of their fields: https://protobuf.dev/programming-guides/json. */
function wellKnownSchema(type: DescMessage, place: Place, rules: FieldRules | undefined): JsonObject | undefined {
  const name = type.typeName;
  if (name === "google.protobuf.Duration") return { type: "string", pattern: durationPattern(rules) };
  const wrapped = wrappedScalars[name];
  if (wrapped !== undefined) return scalarSchema(wrapped, place, rules);
  return wellKnownSchemas[name];
}

const wellKnownSchemas: Readonly<Record<string, JsonObject>> = {
  "google.protobuf.Timestamp": { type: "string", format: "date-time" },
  "google.protobuf.FieldMask": { type: "string" },
  "google.protobuf.Empty": { type: "object" },
  "google.protobuf.Struct": { type: "object", additionalProperties: true },
  "google.protobuf.Value": {},
  "google.protobuf.ListValue": { type: "array", items: {} },
  "google.protobuf.Any": {
    type: "object",
    required: ["@type"],
    properties: { "@type": { type: "string" } },
    additionalProperties: true,
  },
};

/** A scalar, or absent. */
const wrappedScalars: Readonly<Record<string, ScalarType>> = {
  "google.protobuf.BoolValue": ScalarType.BOOL,
  "google.protobuf.StringValue": ScalarType.STRING,
  "google.protobuf.BytesValue": ScalarType.BYTES,
  "google.protobuf.Int32Value": ScalarType.INT32,
  "google.protobuf.UInt32Value": ScalarType.UINT32,
  "google.protobuf.Int64Value": ScalarType.INT64,
  "google.protobuf.UInt64Value": ScalarType.UINT64,
  "google.protobuf.FloatValue": ScalarType.FLOAT,
  "google.protobuf.DoubleValue": ScalarType.DOUBLE,
};
