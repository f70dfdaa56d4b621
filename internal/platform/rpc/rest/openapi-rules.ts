import { getOption, hasOption, isFieldSet, type DescField, type JsonObject } from "@bufbuild/protobuf";
import { FeatureSet_FieldPresence, type Duration } from "@bufbuild/protobuf/wkt";
import {
  BytesRulesSchema,
  field as fieldOption,
  Ignore,
  MapRulesSchema,
  RepeatedRulesSchema,
  StringRulesSchema,
  type BytesRules,
  type FieldRules,
  type StringRules,
} from "../../../gen/buf/validate/validate_pb.ts";
import { wholeNumbers } from "./decimal-pattern.ts";

/**
 * What the validation rules of protos are in JSON Schema (https://json-schema.org/draft/2020-12/json-schema-validation). Both count the
 * characters of a text by code points; the patterns run on ECMA-262 in either.
 */

/** The rules of a field; `undefined` when it has none that are applied. */
export function rulesOf(field: DescField): FieldRules | undefined {
  if (!hasOption(field, fieldOption)) return undefined;
  const rules = getOption(field, fieldOption);
  return rules.ignore === Ignore.ALWAYS ? undefined : rules;
}

/** Whether a request without the field breaks a rule: its rules ask for it, or do not admit the value that it then has. */
export function isRequired(field: DescField): boolean {
  const rules = rulesOf(field);
  if (rules === undefined) return false;
  if (rules.required) return true;
  if (rules.ignore === Ignore.IF_ZERO_VALUE) return false;
  if (field.fieldKind === "list") return (listSizes(rules)["minItems"] ?? 0) > 0;
  if (field.fieldKind === "map") return (mapSizes(rules)["minProperties"] ?? 0) > 0;
  if (field.presence !== FeatureSet_FieldPresence.IMPLICIT) return false;
  const { type } = rules;
  if (type.case === "string") {
    const { minLength = 0, pattern } = textLimits(type.value);
    return minLength > 0 || (pattern !== undefined && !new RegExp(pattern, "u").test(""));
  }
  if (type.case === "bytes") return byteSizes(type.value).min > 0;
  if (type.case === "enum") return type.value.notIn.includes(0);
  const { min, max } = bounds(rules);
  return (min !== undefined && min > 0) || (max !== undefined && max < 0);
}

/** Lengths and pattern of a text. */
export function textRules(rules: FieldRules | undefined): JsonObject {
  if (rules?.type.case !== "string") return {};
  const limits = textLimits(rules.type.value);
  if (rules.required && limits.minLength === undefined) return { minLength: 1, ...limits };
  return rules.ignore === Ignore.IF_ZERO_VALUE ? orEmpty(limits) : { ...limits };
}

/** Bounds of a number, both included: what is open in a rule of whole numbers is moved by one. */
export function bounds(rules: FieldRules | undefined): { min?: bigint | number; max?: bigint | number } {
  const value = rules?.type.value;
  if (value === undefined || !("greaterThan" in value)) return {};
  const { greaterThan, lessThan } = value;
  const found: { min?: bigint | number; max?: bigint | number } = {};
  if (isNumber(greaterThan.value)) found.min = moved(greaterThan.value, greaterThan.case === "gt" ? 1 : 0);
  if (isNumber(lessThan.value)) found.max = moved(lessThan.value, lessThan.case === "lt" ? -1 : 0);
  return found;
}

/** Numbers of an enum that a field may not have. */
export function excludedValues(rules: FieldRules | undefined): ReadonlySet<number> {
  if (rules?.type.case !== "enum") return new Set(rules?.required === true ? [0] : []);
  return new Set([...rules.type.value.notIn, ...(rules.required ? [0] : [])]);
}

/** Sizes of a list. */
export function listRules(rules: FieldRules | undefined): JsonObject {
  if (rules?.type.case !== "repeated") return rules?.required === true ? { minItems: 1 } : {};
  const isUnique = rules.type.value.unique;
  return {
    ...(rules.required ? { minItems: 1 } : {}),
    ...listSizes(rules),
    ...(isUnique ? { uniqueItems: true } : {}),
  };
}

/** Sizes of a map, and what its keys are like. */
export function mapRules(rules: FieldRules | undefined): JsonObject {
  if (rules?.type.case !== "map") return {};
  const keys = textRules(rules.type.value.keys);
  return { ...mapSizes(rules), ...(Object.keys(keys).length === 0 ? {} : { propertyNames: keys }) };
}

/** Base64 in either alphabet (RFC 4648, sections 4 and 5), with padding or without. */
const base64Pattern = "^([A-Za-z0-9+/_-]{4})*([A-Za-z0-9+/_-]{2}(==)?|[A-Za-z0-9+/_-]{3}=?)?$";

/** Form and lengths of bytes in base64. */
export function base64Rules(rules: FieldRules | undefined): JsonObject {
  if (rules?.type.case !== "bytes") return { pattern: base64Pattern };
  const { min, max } = byteSizes(rules.type.value);
  return {
    pattern: base64Pattern,
    ...(min === 0 ? {} : { minLength: Math.ceil((min * 4) / 3) }),
    ...(max === undefined ? {} : { maxLength: Math.ceil(max / 3) * 4 }),
  };
}

/** The pattern of a duration's text, within its bounds where these are whole seconds. */
export function durationPattern(rules: FieldRules | undefined): string {
  const any = "^-?[0-9]+(\\.[0-9]{1,9})?s$";
  if (rules?.type.case !== "duration") return any;
  const { greaterThan, lessThan } = rules.type.value;
  if (greaterThan.case !== "gte" || lessThan.case !== "lte") return any;
  const [min, max] = [wholeSeconds(greaterThan.value), wholeSeconds(lessThan.value)];
  if (min === undefined || max === undefined || min < 0n || min >= max) return any;
  return `^(${wholeNumbers(min, max - 1n)}(\\.[0-9]{1,9})?|0*${max}(\\.0{1,9})?)s$`;
}

/** The rules of a list's items. */
export function itemRules(rules: FieldRules | undefined): FieldRules | undefined {
  return rules?.type.case === "repeated" ? rules.type.value.items : undefined;
}

/** The rules of a map's values. */
export function valueRules(rules: FieldRules | undefined): FieldRules | undefined {
  return rules?.type.case === "map" ? rules.type.value.values : undefined;
}

interface TextLimits {
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly pattern?: string;
}

function textLimits(rules: StringRules): TextLimits {
  const set = StringRulesSchema.field;
  const has = (field: DescField): boolean => isFieldSet(rules, field);
  return {
    ...(has(set.len) ? { minLength: Number(rules.len), maxLength: Number(rules.len) } : {}),
    ...(has(set.minLen) ? { minLength: Number(rules.minLen) } : {}),
    ...(has(set.maxLen) ? { maxLength: Number(rules.maxLen) } : {}),
    ...(has(set.pattern) ? { pattern: rules.pattern } : {}),
  };
}

/** A pattern of any number of characters of one class, such as `^[!-~]*$`. */
const ofOneClass = /^\^(\[(?:[^\]\\]|\\.)+\])\*\$$/;

/** The limits, or an empty text. Of characters of one class it is one pattern, which generators of clients read as a plain text. */
function orEmpty(limits: TextLimits): JsonObject {
  const { minLength = 0, maxLength, pattern } = limits;
  if (minLength === 0) return { ...limits };
  const characters = pattern === undefined ? undefined : ofOneClass.exec(pattern)?.[1];
  if (characters === undefined) return { anyOf: [{ maxLength: 0 }, { ...limits }] };
  const rest = maxLength === undefined ? {} : { maxLength };
  return { ...rest, pattern: `^(${characters}{${minLength},${maxLength ?? ""}})?$` };
}

function listSizes(rules: FieldRules): { minItems?: number; maxItems?: number } {
  if (rules.type.case !== "repeated") return {};
  const { value } = rules.type;
  const set = RepeatedRulesSchema.field;
  return {
    ...(isFieldSet(value, set.minItems) ? { minItems: Number(value.minItems) } : {}),
    ...(isFieldSet(value, set.maxItems) ? { maxItems: Number(value.maxItems) } : {}),
  };
}

function mapSizes(rules: FieldRules): { minProperties?: number; maxProperties?: number } {
  if (rules.type.case !== "map") return {};
  const { value } = rules.type;
  const set = MapRulesSchema.field;
  return {
    ...(isFieldSet(value, set.minPairs) ? { minProperties: Number(value.minPairs) } : {}),
    ...(isFieldSet(value, set.maxPairs) ? { maxProperties: Number(value.maxPairs) } : {}),
  };
}

function byteSizes(rules: BytesRules): { min: number; max: number | undefined } {
  const set = BytesRulesSchema.field;
  if (isFieldSet(rules, set.len)) return { min: Number(rules.len), max: Number(rules.len) };
  return {
    min: isFieldSet(rules, set.minLen) ? Number(rules.minLen) : 0,
    max: isFieldSet(rules, set.maxLen) ? Number(rules.maxLen) : undefined,
  };
}

function isNumber(value: unknown): value is bigint | number {
  return typeof value === "bigint" || typeof value === "number";
}

function moved(value: bigint | number, by: number): bigint | number {
  return typeof value === "bigint" ? value + BigInt(by) : value + by;
}

function wholeSeconds(value: Duration): bigint | undefined {
  return value.nanos === 0 ? value.seconds : undefined;
}
