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

/** What a prefix must look like, in words. */
export const prefixRule = `begin with a-z or 0-9, go on with a-z 0-9 . _ - and have at most ${prefixLengthMax} characters`;

/** Whether every id that begins with `prefix` and goes on with a slug is valid. */
export function isPrefix(prefix: string): boolean {
  return prefix === "" || (prefix.length <= prefixLengthMax && /^[a-z0-9][a-z0-9._-]*$/.test(prefix));
}

/** Which original value owns which count_id. The first value that meets an id owns it; each value keeps its id. */
export interface CountIds {
  /** The id of a value; `isNew` when the value was not seen before. */
  idOf(value: string): { readonly countId: string; readonly isNew: boolean };
  /** Takes over what an earlier run assigned. */
  restore(value: string, countId: string): void;
  /** Number of different values. */
  readonly size: number;
}

/** Ids made of `prefix`, which must be valid, and the value made valid. */
export function createCountIds(prefix: string): CountIds {
  const ids = new Map<string, string>();
  const taken = new Set<string>();
  return {
    idOf: (value) => {
      const known = ids.get(value);
      if (known !== undefined) return { countId: known, isNew: false };
      const free = candidates(prefix, value);
      let countId = free.next().value;
      while (taken.has(countId)) countId = free.next().value;
      ids.set(value, countId);
      taken.add(countId);
      return { countId, isNew: true };
    },
    restore: (value, countId) => {
      ids.set(value, countId);
      taken.add(countId);
    },
    get size() {
      return ids.size;
    },
  };
}

/** A well-formed value as it is kept: when it is very long its beginning and a hash of it all. */
export function keptValue(value: string): string {
  if (value.length <= valueLengthMax) return value;
  return `${value.slice(0, valueLengthMax - 100).toWellFormed()}… ${hash(value, 32)}`;
}

/** A value as people see it: its fields apart by a space, no control characters, cut to what a display name may have. */
export function displayNameOf(value: string): string {
  const fields = value.split(fieldSeparator).map((field) => (field === "" ? "(empty)" : field));
  const name = fields.join(" ").replaceAll(/\p{Cc}/gu, "\uFFFD");
  return name.length <= displayNameLengthMax
    ? name
    : `${name.slice(0, displayNameLengthMax - 1).replace(/[\uD800-\uDBFF]$/, "")}…`;
}

/** Ids for a value in the order of preference: readable, then with a short hash of the value, then with long ones. */
function* candidates(prefix: string, value: string): Generator<string, never, void> {
  const plain = prefix + value.split(fieldSeparator).map(slugOf).join(".");
  if (plain.length <= countIdLengthMax) yield plain;
  const withSuffix = (suffix: string): string => `${plain.slice(0, countIdLengthMax - suffix.length - 1)}-${suffix}`;
  yield withSuffix(hash(value, 6));
  for (let attempt = 0; ; attempt++) yield withSuffix(hash(`${attempt}${fieldSeparator}${value}`, 32));
}

/** A field in the characters of an id, beginning with a letter or digit: "empty" for an empty one, a hash when nothing can be kept. */
function slugOf(field: string): string {
  if (field === "") return "empty";
  const slug = field
    .slice(0, slugSourceLengthMax)
    .normalize("NFKD")
    .replaceAll(/\p{M}/gu, "")
    .toLowerCase()
    .replaceAll(/[^a-z0-9._-]+/g, "-")
    .replaceAll(/^[._-]+|[._-]+$/g, "");
  return slug === "" ? hash(field, 6) : slug;
}

function hash(text: string, length: number): string {
  return createHash("sha256").update(text).digest("hex").slice(0, length);
}
