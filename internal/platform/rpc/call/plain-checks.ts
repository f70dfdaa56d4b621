import {
  getOption,
  hasOption,
  isFieldSet,
  type DescField,
  type DescMessage,
  type DescOneof,
  type Message,
} from "@bufbuild/protobuf";
import { FeatureSet_FieldPresence } from "@bufbuild/protobuf/wkt";
import {
  field as fieldOption,
  FieldRulesSchema,
  Ignore,
  message as messageOption,
  oneof as oneofOption,
  Int32RulesSchema,
  Int64RulesSchema,
  RepeatedRulesSchema,
  StringRulesSchema,
  type FieldRules,
  type Int32Rules,
  type Int64Rules,
  type RepeatedRules,
  type StringRules,
} from "../../../gen/buf/validate/validate_pb.ts";

/** Whether a message keeps all rules of its proto. */
export type PlainCheck = (message: Message) => boolean;

type Fields = Readonly<Record<string, unknown>>;
type FieldCheck = (fields: Fields) => boolean;
type ValueCheck = (value: unknown) => boolean;

/**
 * Compiles the protovalidate rules of a message into plain comparisons, for methods where general validation costs more than
 * the rest of the call. `undefined` when a rule is of a kind that is not compiled: lengths and patterns of strings, ranges of
 * integers, sizes of lists, required oneofs, and messages of such fields are.
 */
export function compilePlainCheck(schema: DescMessage): PlainCheck | undefined {
  return compileMessage(schema, new Set());
}

function compileMessage(schema: DescMessage, within: ReadonlySet<string>): PlainCheck | undefined {
  // A message that contains itself is left to protovalidate, and so are rules on a message as a whole.
  if (within.has(schema.typeName) || hasOption(schema, messageOption)) return undefined;
  const inside = new Set([...within, schema.typeName]);
  const checks: FieldCheck[] = [];
  for (const oneof of schema.oneofs) {
    if (!hasOption(oneof, oneofOption)) continue;
    if (getOption(oneof, oneofOption).required) checks.push(requireOneof(oneof));
  }
  for (const field of schema.fields) {
    const check = compileField(field, inside);
    if (check === undefined) return undefined;
    if (check !== always) checks.push(check);
  }
  return (message) => {
    const fields = message as unknown as Fields;
    for (const check of checks) if (!check(fields)) return false;
    return true;
  };
}

/** Whether no other fields than `names` are set in a rule message, predefined rules and unknown ones included. */
function hasOnly(schema: DescMessage, rules: Message, names: readonly (string | undefined)[]): boolean {
  if ((rules.$unknown?.length ?? 0) > 0) return false;
  return schema.fields.every((field) => names.includes(field.localName) || !isFieldSet(rules, field));
}

const always = (): boolean => true;

function requireOneof(oneof: DescOneof): FieldCheck {
  const name = oneof.localName;
  return (fields) => (fields[name] as { case: string | undefined }).case !== undefined;
}

function compileField(field: DescField, within: ReadonlySet<string>): FieldCheck | undefined {
  const rules = hasOption(field, fieldOption) ? getOption(field, fieldOption) : undefined;
  if (rules?.ignore === Ignore.ALWAYS) return always;
  const check = compileValue(field, rules, within);
  if (check === undefined) return undefined;
  const name = field.localName;
  if (rules?.required === true) {
    if (field.oneof !== undefined || !canBeAbsent(field)) return undefined;
    return (fields) => fields[name] !== undefined && check(fields[name]);
  }
  if (check === always) return always;
  if (field.oneof !== undefined) {
    if (rules?.ignore === Ignore.IF_ZERO_VALUE) return undefined;
    const oneof = field.oneof.localName;
    return (fields) => {
      const chosen = fields[oneof] as { case: string | undefined; value: unknown };
      return chosen.case !== name || check(chosen.value);
    };
  }
  if (rules?.ignore === Ignore.IF_ZERO_VALUE) {
    if (field.fieldKind !== "scalar" || field.presence !== FeatureSet_FieldPresence.IMPLICIT) return undefined;
    return (fields) => fields[name] === "" || fields[name] === 0 || fields[name] === 0n || check(fields[name]);
  }
  // Absent with explicit presence: nothing to check. Implicit presence always has a value.
  return (fields) => fields[name] === undefined || check(fields[name]);
}

/** Whether a field of a message tells that it was not given: with none, required means more than zero, which is not compiled. */
function canBeAbsent(field: DescField): boolean {
  return (
    field.fieldKind === "message" ||
    (field.fieldKind === "scalar" && field.presence === FeatureSet_FieldPresence.EXPLICIT)
  );
}

function compileValue(
  field: DescField,
  rules: FieldRules | undefined,
  within: ReadonlySet<string>,
): ValueCheck | undefined {
  const type = rules?.type;
  if (rules !== undefined && !hasOnly(FieldRulesSchema, rules, ["required", "ignore", type?.case])) return undefined;
  switch (field.fieldKind) {
    case "message":
      return type?.case === undefined ? compileNested(field.message, within) : undefined;
    case "list": {
      if (type?.case === undefined) return compileItems(field, undefined, within);
      if (type.case !== "repeated") return undefined;
      const items = compileItems(field, type.value.items, within);
      return items === undefined ? undefined : compileList(type.value, items);
    }
    case "scalar":
      return type?.case === undefined ? always : compileScalar(type);
    case "enum":
      return type?.case === undefined ? always : undefined;
    case "map":
      return type?.case === undefined && field.mapKind !== "message" ? always : undefined;
  }
}

function compileNested(schema: DescMessage, within: ReadonlySet<string>): ValueCheck | undefined {
  if (schema.typeName.startsWith("google.protobuf.")) return always;
  return compileMessage(schema, within) as ValueCheck | undefined;
}

function compileItems(
  field: DescField & { fieldKind: "list" },
  rules: FieldRules | undefined,
  within: ReadonlySet<string>,
): ValueCheck | undefined {
  let item: ValueCheck | undefined;
  if (field.listKind === "message") {
    item = rules === undefined ? compileNested(field.message, within) : undefined;
  } else if (rules === undefined) {
    item = always;
  } else if (hasOnly(FieldRulesSchema, rules, [rules.type.case]) && rules.type.case !== undefined) {
    item = compileScalar(rules.type);
  }
  if (item === undefined || item === always) return item;
  const check = item;
  return (list) => {
    for (const element of list as readonly unknown[]) if (!check(element)) return false;
    return true;
  };
}

function compileList(rules: RepeatedRules, items: ValueCheck): ValueCheck | undefined {
  if (!hasOnly(RepeatedRulesSchema, rules, ["minItems", "maxItems", "items"])) return undefined;
  const min = isFieldSet(rules, RepeatedRulesSchema.field.minItems) ? Number(rules.minItems) : 0;
  const max = isFieldSet(rules, RepeatedRulesSchema.field.maxItems) ? Number(rules.maxItems) : Infinity;
  return (list) => {
    const { length } = list as readonly unknown[];
    return length >= min && length <= max && items(list);
  };
}

function compileScalar(type: FieldRules["type"]): ValueCheck | undefined {
  if (type.case === "string") return compileString(type.value);
  if (type.case === "int32" && hasOnly(Int32RulesSchema, type.value, integerRules)) return compileInteger(type.value);
  if (type.case === "int64" && hasOnly(Int64RulesSchema, type.value, integerRules)) return compileInteger(type.value);
  return undefined;
}

function compileString(rules: StringRules): ValueCheck | undefined {
  if (!hasOnly(StringRulesSchema, rules, ["minLen", "maxLen", "pattern"])) return undefined;
  const min = isFieldSet(rules, StringRulesSchema.field.minLen) ? Number(rules.minLen) : 0;
  const max = isFieldSet(rules, StringRulesSchema.field.maxLen) ? Number(rules.maxLen) : Infinity;
  const pattern = isFieldSet(rules, StringRulesSchema.field.pattern) ? new RegExp(rules.pattern, "u") : undefined;
  return (value) => {
    const string = value as string;
    // The rules count code points: at most as many as UTF-16 units, and at least half as many.
    const { length } = string;
    if (length > max || length < 2 * min) {
      const points = codePoints(string);
      if (points > max || points < min) return false;
    }
    return pattern === undefined || pattern.test(string);
  };
}

function codePoints(string: string): number {
  let count = 0;
  for (const _ of string) count += 1;
  return count;
}

const integerRules = ["gte", "gt", "lte", "lt"] as const;

function compileInteger(rules: Int32Rules | Int64Rules): ValueCheck | undefined {
  const { greaterThan: low, lessThan: high } = rules;
  // With both bounds crossed protovalidate means "outside": not compiled.
  if (low.case !== undefined && high.case !== undefined && low.value > high.value) return undefined;
  return (value) => {
    const number = value as bigint;
    if (low.case === "gte" && number < low.value) return false;
    if (low.case === "gt" && number <= low.value) return false;
    if (high.case === "lte" && number > high.value) return false;
    return high.case !== "lt" || number < high.value;
  };
}
