import { ScalarType, type DescField, type DescMessage, type JsonValue } from "@bufbuild/protobuf";
import { isWrapperDesc } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import { isOnCalendar } from "../../clock/calendar.ts";

/** Throws ConnectError `invalid_argument`, with the path of the field, for JSON that the protobuf library would take for something else. */
export type JsonForms = (json: string) => void;

/** What a value must be, in words; `undefined` when it is that, or is none of what is judged here. */
type Judge = (value: JsonValue) => string | undefined;

/** Judges a value within a message, and names the field. */
type Look = (value: JsonValue, path: string) => void;

/** A number of JSON as it was written, in the place of the number. */
const numberKey = "\0number";

/** What a value must be, in words that follow its name. */
export const wantedForms = {
  whole: "must be a whole number: decimal digits alone",
  moment: "must be a moment that exists, such as 2026-12-01T09:30:00Z or 2026-12-01T09:30:00+09:00",
  duration: "must be seconds, with up to 9 digits after the point, such as 3s or 0.25s",
} as const;
const exactOnly = "must be written as text, in quotes: a JSON number of this size is not exact";
const finiteOnly = "must be a number that 64 bits hold";
/** What the type Duration holds, about 10 000 years: https://protobuf.dev/reference/protobuf/google.protobuf/#duration. */
const durationSecondsMax = 315_576_000_000;
const durationRange = `must be from -${durationSecondsMax}s to ${durationSecondsMax}s`;

const notNumbers: ReadonlySet<ScalarType> = new Set([ScalarType.BOOL, ScalarType.BYTES, ScalarType.STRING]);

/** A text, from its quote on, that is a number but no plain one of up to 20 digits, a moment, or a length of time that goes on after its seconds. */
const oddText =
  /^"(?:(?!-?\d+")\s*[+-]?[\d.](?:[\d.\sxoa-f]|e[+-])*"|\d{4}-\d\d-\d\dT|-?\d+(?:\.\d+)?s[^"]|-?\d+\.\d{10}|-?\d{21})/i;

/** Digits of a whole number that a double surely holds. */
const exactDigits = 15;

const code = { quote: 0x22, dot: 0x2e, zero: 0x30, nine: 0x39, letters: 0x41, upperE: 0x45, lowerE: 0x65 };

/**
 * Whether JSON needs a closer look: for an odd text, an escaped digit or sign, and a number with a fraction, an exponent or too many
 * digits to be exact. By hand, since a regular expression for all of it takes ten times as long.
 */
function isRemarkable(json: string): boolean {
  if (json.includes("\\")) return true;
  for (let index = 0; index < json.length; index += 1) {
    const each = json.charCodeAt(index);
    if (each === code.quote) {
      const end = json.indexOf('"', index + 1);
      if (end < 0) return false; // It is no JSON.
      if (json.charCodeAt(index + 1) < code.letters && oddText.test(json.slice(index, end + 2))) return true;
      index = end;
    } else if (isDigit(each)) {
      const begin = index;
      while (isDigit(json.charCodeAt(index + 1))) index += 1;
      const next = json.charCodeAt(index + 1);
      if (next === code.dot || next === code.upperE || next === code.lowerE) return true;
      if (index - begin >= exactDigits) return true;
    }
  }
  return false;
}

function isDigit(each: number): boolean {
  return each >= code.zero && each <= code.nine;
}

/** Compiles the look at the JSON of a message. Of nearly all requests it finds nothing remarkable, and costs little. */
export function compileJsonForms(schema: DescMessage): JsonForms {
  const look = new Compiler().message(schema);
  return (json) => {
    if (look === undefined || !isRemarkable(json)) return;
    const value = parsed(json);
    if (value !== undefined) look(value, "");
  };
}

/** What is wrong with the text of one value, as it stands in a query or a path. */
export function judgeText(field: DescField, text: string): string | undefined {
  return judgeOf(field)?.(text);
}

/** JSON with each number as it was written. `undefined` for what is no JSON, as the library will say. */
function parsed(json: string): JsonValue | undefined {
  const token = /"(?:[^"\\]|\\[^])*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g;
  try {
    JSON.parse(json);
    return JSON.parse(
      json.replace(token, (each) => (each.startsWith('"') ? each : `{"\\u0000number":"${each}"}`)),
    ) as JsonValue;
  } catch {
    return undefined;
  }
}

/** Compiles each type once, so that one that contains itself comes to an end. */
class Compiler {
  readonly #messages = new Map<DescMessage, { look: Look | undefined }>();

  message(schema: DescMessage): Look | undefined {
    const known = this.#messages.get(schema);
    if (known !== undefined) return (value, path) => known.look?.(value, path);
    const compiled: { look: Look | undefined } = { look: undefined };
    this.#messages.set(schema, compiled);
    return (compiled.look = this.#compile(schema));
  }

  #compile(schema: DescMessage): Look | undefined {
    if (isFreeJson(schema)) return lookForInfinity;
    const looks = new Map<string, Look>();
    for (const field of schema.fields) {
      const look = this.#field(field);
      if (look === undefined) continue;
      looks.set(field.name, look).set(field.jsonName, look);
    }
    if (looks.size === 0) return undefined;
    return (value, path) => {
      if (!isObject(value)) return;
      for (const [key, each] of Object.entries(value)) looks.get(key)?.(each, path === "" ? key : `${path}.${key}`);
    };
  }

  #field(field: DescField): Look | undefined {
    switch (field.fieldKind) {
      case "scalar":
      case "enum":
        return lookBy(judgeOf(field));
      case "message":
        return lookBy(judgeOf(field)) ?? this.message(field.message);
      case "list": {
        const look = lookBy(judgeOf(field)) ?? (field.listKind === "message" ? this.message(field.message) : undefined);
        return look === undefined ? undefined : inList(look);
      }
      case "map": {
        const lookAtKey = lookBy(judgeScalar(field.mapKey));
        const look = field.mapKind === "message" ? this.message(field.message) : lookBy(judgeScalar(field.scalar));
        return lookAtKey === undefined && look === undefined ? undefined : inMap(lookAtKey, look);
      }
    }
  }
}

function judgeOf(field: DescField): Judge | undefined {
  if (field.message !== undefined && field.fieldKind !== "map") return judgeMessage(field.message);
  return field.fieldKind === "enum" || field.fieldKind === "map" ? undefined : judgeScalar(field.scalar);
}

function judgeMessage(schema: DescMessage): Judge | undefined {
  if (isWrapperDesc(schema)) return judgeScalar(schema.fields[0].scalar);
  switch (schema.typeName) {
    case "google.protobuf.Timestamp":
      return (value) => (typeof value !== "string" || isOnCalendar(value) ? undefined : wantedForms.moment);
    case "google.protobuf.Duration":
      return (value) => (typeof value === "string" ? judgeDuration(value) : undefined);
    default:
      return undefined;
  }
}

function judgeScalar(scalar: ScalarType | undefined): Judge | undefined {
  if (scalar === undefined || notNumbers.has(scalar)) return undefined;
  if (scalar === ScalarType.DOUBLE || scalar === ScalarType.FLOAT) return judgeFraction;
  return (value) => (typeof value === "string" ? judgeDigits(value, scalar) : judgeWhole(value));
}

function judgeDuration(text: string): string | undefined {
  if (!/^-?\d+(?:\.\d{1,9})?s$/.test(text)) return wantedForms.duration;
  return Math.abs(Number.parseFloat(text)) <= durationSecondsMax ? undefined : durationRange;
}

function judgeDigits(text: string, scalar: ScalarType): string | undefined {
  if (!/^-?\d+$/.test(text)) return wantedForms.whole;
  if (!/^-?0*\d{1,20}$/.test(text)) return finiteOnly; // Very many digits are more than BigInt takes.
  const type = ScalarType[scalar].toLowerCase();
  return isHeld(text, type) ? undefined : `must be a whole number that ${type} holds`;
}

/** Whether a type such as "int32" or "fixed64" holds a whole number. */
function isHeld(digits: string, type: string): boolean {
  const bits = type.endsWith("32") ? 32 : 64;
  const number = BigInt(digits);
  return number === (/^[uf]/.test(type) ? BigInt.asUintN(bits, number) : BigInt.asIntN(bits, number));
}

function judgeWhole(value: JsonValue): string | undefined {
  const written = numberIn(value);
  if (written === undefined) return undefined;
  const [, whole = "", fraction = "", exponent = "0"] = /^(-?\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/.exec(written) ?? [];
  const number = Number(written);
  if (!Number.isFinite(number)) return finiteOnly;
  const digits = withoutZerosBehind(`${whole}${fraction}`);
  const zeros = Number(exponent) + whole.length - digits.length;
  if (/^-?$/.test(digits)) return undefined; // Zero, however it is written.
  if (zeros < 0 || !Number.isInteger(number)) return wantedForms.whole;
  return BigInt(number) === BigInt(digits + "0".repeat(zeros)) ? undefined : exactOnly;
}

/** By hand, since a regular expression looks at each zero again for each one before it. */
function withoutZerosBehind(digits: string): string {
  let end = digits.length;
  while (digits.charCodeAt(end - 1) === code.zero) end -= 1;
  return digits.slice(0, end);
}

function judgeFraction(value: JsonValue): string | undefined {
  if (typeof value === "string")
    return /^\s*[+-]?0[xob]/i.test(value) || value.startsWith("+") ? "must be a number" : undefined;
  const written = numberIn(value);
  return written === undefined || Number.isFinite(Number(written)) ? undefined : finiteOnly;
}

/** A number as it was written. */
function numberIn(value: JsonValue): string | undefined {
  const written = isObject(value) ? value[numberKey] : undefined;
  return typeof written === "string" ? written : undefined;
}

function lookBy(judge: Judge | undefined): Look | undefined {
  if (judge === undefined) return undefined;
  return (value, path) => {
    const wanted = judge(value);
    if (wanted !== undefined) throw new ConnectError(`${path} ${wanted}`, Code.InvalidArgument);
  };
}

function inList(look: Look): Look {
  return (list, path) => {
    if (Array.isArray(list)) list.forEach((each, index) => look(each, `${path}[${index}]`));
  };
}

function inMap(lookAtKey: Look | undefined, look: Look | undefined): Look {
  return (map, path) => {
    if (!isObject(map)) return;
    for (const [key, value] of Object.entries(map)) {
      const at = `${path}[${JSON.stringify(key)}]`;
      lookAtKey?.(key, `${at} (key)`);
      look?.(value, at);
    }
  };
}

/** In JSON of any form all numbers are of 64 bits. */
function lookForInfinity(value: JsonValue, path: string): void {
  if (numberIn(value) !== undefined) lookBy(judgeFraction)!(value, path);
  else if (Array.isArray(value)) inList(lookForInfinity)(value, path);
  else inMap(undefined, lookForInfinity)(value, path);
}

function isFreeJson({ typeName }: DescMessage): boolean {
  return ["google.protobuf.Struct", "google.protobuf.Value", "google.protobuf.ListValue"].includes(typeName);
}

function isObject(value: JsonValue): value is { [key: string]: JsonValue } {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
