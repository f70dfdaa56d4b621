import { createHash } from "node:crypto";

/** Longest count_id, in characters. */
const countIdLengthMax = 128;

/** Longest prefix, so that something of each value fits behind it. */
export const prefixLengthMax = 64;

/** Longest value that the server keeps for an import, in characters. */
const valueLengthMax = 1024;

/** So much of a field goes into its id at most, before what cannot be kept is dropped. */
const slugSourceLengthMax = 256;

/** Longest display name, in characters. */
const displayNameLengthMax = 256;

/** Stands between the fields of a combined value: the unit separator. A field that holds it is not counted. */
export const fieldSeparator = "\u001f";

/** How an empty field is shown. */
const emptyName = "(empty)";

/** What a prefix must look like, in words. */
export const prefixRule = `begin with a-z or 0-9, go on with a-z 0-9 . _ - and have at most ${prefixLengthMax} characters`;

/** Whether every id that begins with `prefix` and goes on with a slug is valid. */
export function isPrefix(prefix: string): boolean {
  return prefix === "" || (prefix.length <= prefixLengthMax && /^[a-z0-9][a-z0-9._-]*$/.test(prefix));
}

/** A well-formed value as it is kept: when it is very long its beginning and a hash of it all. */
export function keptValue(value: string): string {
  if (value.length <= valueLengthMax) return value;
  return `${value.slice(0, valueLengthMax - 100).toWellFormed()}… ${hash(value, 32)}`;
}

/** A value as people see it: its fields apart by a space, no control characters, cut to what a display name may have. */
export function displayNameOf(value: string): string {
  const name = fullNameOf(value).replaceAll(/\p{Cc}/gu, "\uFFFD");
  return name.length <= displayNameLengthMax
    ? name
    : `${name.slice(0, displayNameLengthMax - 1).replace(/[\uD800-\uDBFF]$/, "")}…`;
}

function fullNameOf(value: string): string {
  const fields = value.split(fieldSeparator);
  return fields.map((field) => (field === "" ? emptyName : field)).join(" ");
}

/**
 * Ids for a value in the order of preference: readable, then with a short hash of the value, then with long ones. A Count of the
 * readable or short id is the value's when its name is; where the name does not tell the value, only long ones do.
 */
export function* countIdsOf(prefix: string, value: string): Generator<string, never, void> {
  const plain = prefix + value.split(fieldSeparator).map(slugOf).join(".");
  const withSuffix = (suffix: string): string => `${plain.slice(0, countIdLengthMax - suffix.length - 1)}-${suffix}`;
  if (isToldByName(value)) {
    if (plain.length <= countIdLengthMax) yield plain;
    yield withSuffix(hash(value, 6));
  }
  for (let attempt = 0; ; attempt++) yield withSuffix(hash(`${attempt}${fieldSeparator}${value}`, 32));
}

/** Whether no other value of the same readable id has the same display name. */
function isToldByName(value: string): boolean {
  const fields = value.split(fieldSeparator);
  if (displayNameOf(value) !== fullNameOf(value) || fields.includes(emptyName)) return false;
  // Where a field holds spaces, its first and last word must be part of the id, or the fields could be cut elsewhere.
  const words = fields.length > 1 && fields.some((field) => field.includes(" ")) ? fields : [];
  return words.every((field) => {
    const parts = field.split(" ");
    return field === "" || [parts[0], parts.at(-1)].every((word) => keptOf(word ?? "") !== "");
  });
}

/** A field in the characters of an id, beginning with a letter or digit: "empty" for an empty one, a hash when nothing can be kept. */
function slugOf(field: string): string {
  if (field === "") return "empty";
  const kept = keptOf(field);
  return kept === "" ? hash(field, 6) : kept;
}

/** What of a field can be kept in an id. */
function keptOf(field: string): string {
  return field
    .slice(0, slugSourceLengthMax)
    .normalize("NFKD")
    .replaceAll(/\p{M}/gu, "")
    .toLowerCase()
    .replaceAll(/[^a-z0-9._-]+/g, "-")
    .replaceAll(/^[._-]+|[._-]+$/g, "");
}

function hash(text: string, length: number): string {
  return createHash("sha256").update(text).digest("hex").slice(0, length);
}
