import type { DescField, JsonObject, JsonValue } from "@bufbuild/protobuf";
import { callErrors } from "../call/errors.ts";
import { percentText } from "../call/wire-text.ts";
import { resolveFields, type RequestBinding } from "./binding.ts";
import { hasStringForm, jsonOf } from "./field-text.ts";

/** Puts what a query names where its fields lead, by their names with dots. Throws for a parameter that is none of the route's. */
export function putQuery(target: JsonObject, binding: RequestBinding, query: string): void {
  if (/%(?![\da-f]{2})/i.test(query)) {
    throw callErrors.requestMalformed({ message: "the query is not percent-encoded: write % as %25" });
  }
  for (const [name, value] of new URLSearchParams(percentText(query))) put(target, queryField(binding, name), value);
}

/** Puts a value that came as text where `fields` lead, in protobuf JSON. */
export function put(target: JsonObject, fields: readonly DescField[], text: string): void {
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
  // What has one text, such as a time, has no parts to be named.
  if (fields.slice(0, -1).some((field) => field.fieldKind !== "message" || hasStringForm(field.message))) {
    return refuse("is unknown");
  }
  if (last.fieldKind === "map" || (last.fieldKind === "list" && last.listKind === "message")) {
    return refuse("cannot be given as a query parameter");
  }
  if (last.fieldKind === "message" && !hasStringForm(last.message)) return refuse("needs its fields named, with a dot");
  return fields;
}
