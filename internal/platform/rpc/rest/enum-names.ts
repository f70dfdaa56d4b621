import type { DescEnum, DescField, DescMessage, JsonValue } from "@bufbuild/protobuf";
import { callErrors } from "../call/errors.ts";
import { fieldNamed } from "./binding.ts";

/**
 * Refuses numbers where an enum stands, anywhere in a message's JSON. Protobuf JSON reads them; but a schema that lists names alone is
 * what callers are told, and a number that no value has would pass for one of a newer Muin. What is no such JSON at all is left to whoever
 * reads the message.
 */
export function refuseEnumNumbers(message: DescMessage, json: JsonValue, at = ""): void {
  if (!holdsEnum(message) || !isObject(json)) return;
  for (const [key, value] of Object.entries(json)) {
    const field = fieldNamed(message, key);
    if (field !== undefined) refuseIn(field, value, at === "" ? key : `${at}.${key}`);
  }
}

/** The error for a value of an enum that is none of its names. */
export function enumNames(type: DescEnum): string {
  return `must be one of ${type.values.map(({ name }) => name).join(", ")}`;
}

function refuseIn(field: DescField, value: JsonValue, at: string): void {
  const type = field.enum ?? field.message;
  if (type === undefined) return;
  const one = (each: JsonValue, place: string): void => {
    if (type.kind === "message") return refuseEnumNumbers(type, each, place);
    if (typeof each !== "number") return;
    const description = enumNames(type);
    throw callErrors.requestMalformed({
      message: `${place} ${description}`,
      violations: [{ field: place, description }],
    });
  };
  if (field.fieldKind === "list") {
    if (Array.isArray(value)) value.forEach((each, nth) => one(each, `${at}[${nth}]`));
  } else if (field.fieldKind === "map") {
    if (isObject(value)) for (const [key, each] of Object.entries(value)) one(each, `${at}["${key}"]`);
  } else {
    one(value, at);
  }
}

const holders = new Map<DescMessage, boolean>();

/** Whether a message has an enum in it, at any depth. */
function holdsEnum(message: DescMessage): boolean {
  const known = holders.get(message);
  if (known !== undefined) return known;
  const seen = new Set<DescMessage>();
  const looks = (each: DescMessage): boolean => {
    if (seen.has(each)) return false;
    seen.add(each);
    return each.fields.some(
      (field) => field.enum !== undefined || (field.message !== undefined && looks(field.message)),
    );
  };
  const found = looks(message);
  holders.set(message, found);
  return found;
}

function isObject(value: JsonValue): value is Record<string, JsonValue> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
