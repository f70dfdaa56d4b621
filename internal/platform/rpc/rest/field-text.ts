import { ScalarType, type DescField, type DescMessage, type JsonValue } from "@bufbuild/protobuf";
import { isWrapperDesc } from "@bufbuild/protobuf/wkt";
import type { MuinError } from "../../errors/muin-error.ts";
import { callErrors } from "../call/errors.ts";
import { judgeText } from "../call/json-forms.ts";
import { enumNames } from "./enum-names.ts";

/** The protobuf JSON of one value: numbers may stay strings, booleans may not; of an enum it is a name. */
export function jsonOf(field: DescField, text: string): JsonValue {
  if (field.fieldKind === "enum" || (field.fieldKind === "list" && field.listKind === "enum")) {
    if (field.enum.values.some(({ name }) => name === text)) return text;
    throw invalid(field, enumNames(field.enum));
  }
  const wanted = judgeText(field, text);
  if (wanted !== undefined) throw invalid(field, wanted);
  if (isMask(field)) return jsonMask(text);
  const scalar =
    field.fieldKind === "scalar" || (field.fieldKind === "list" && field.listKind === "scalar")
      ? field.scalar
      : undefined;
  const isBool =
    scalar === ScalarType.BOOL ||
    (field.fieldKind === "message" && field.message.typeName === "google.protobuf.BoolValue");
  if (!isBool) return text;
  if (text !== "true" && text !== "false") throw invalid(field, "must be true or false");
  return text === "true";
}

function invalid({ name }: DescField, description: string): MuinError {
  return callErrors.queryParameterInvalid({
    message: `query parameter ${name} ${description}`,
    violations: [{ field: name, description }],
  });
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

/** Whether a field is a field mask. */
export function isMask(field: DescField): boolean {
  return field.fieldKind === "message" && field.message.typeName === "google.protobuf.FieldMask";
}

/** A field mask in lowerCamelCase, as protobuf JSON wants it: callers also write the names of the protos. */
export function jsonMask(mask: string): string {
  return mask
    .split(",")
    .map((path) => path.trim().replaceAll(/_([a-z])/g, (_, letter: string) => letter.toUpperCase()))
    .join(",");
}
