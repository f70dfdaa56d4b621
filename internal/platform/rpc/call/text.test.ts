import { create, createRegistry, type MessageInitShape } from "@bufbuild/protobuf";
import { anyPack, AnySchema, StructSchema, type Any } from "@bufbuild/protobuf/wkt";
import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { MuinError } from "../../errors/muin-error.ts";
import { importMutant } from "../../testing/mutant.ts";
import { LookRequestSchema, NestedSchema } from "../testdata/probe_pb.ts";
import * as real from "./text.ts";

type Look = MessageInitShape<typeof LookRequestSchema>;

const registry = createRegistry(LookRequestSchema, NestedSchema, StructSchema, AnySchema);

/** The path of the field that is refused, with the reason; "taken" when none is. */
function pathIn(look: Look, { compileTextCheck } = real): string {
  try {
    compileTextCheck(LookRequestSchema, registry)(create(LookRequestSchema, look));
    return "taken";
  } catch (error) {
    if (!(error instanceof MuinError)) throw error;
    return `${error.code} ${error.reason} ${error.violations.map(({ field }) => field).join()}`;
  }
}

/** An Any in so many others. */
function anyWithin(depth: number, any: Any): Any {
  return depth === 0 ? any : anyWithin(depth - 1, anyPack(AnySchema, any));
}

const named = (name: string): Any => anyPack(NestedSchema, create(NestedSchema, { name }));

/** A request with a text in one place, by the path that names it. `only` of the texts, where the library itself takes no others. */
const places: readonly (readonly [path: string, look: (text: string) => Look, only?: string])[] = [
  ["name", (name) => ({ name })],
  ["tags[1]", (text) => ({ tags: ["a", text, "b"] })],
  ["nested.name", (name) => ({ nested: { name } })],
  ["nested.nested.nested.name", (name) => ({ nested: { nested: { nested: { name } } } })],
  ['labels["k"]', (text) => ({ labels: { a: "b", k: text } })],
  ["mask.paths[0]", (text) => ({ mask: { paths: [text] } })],
  ["maybe_text", (maybeText) => ({ maybeText })],
  ["text", (value) => ({ either: { case: "text", value } })],
  ["wrapped.value", (value) => ({ either: { case: "wrapped", value: { value } } })],
  ['parts["p"].nested.name', (name) => ({ parts: { p: { nested: { name } } } })],
  ['numbered["7"]', (text) => ({ numbered: { 7: text } })],
  ["items[1].name", (name) => ({ items: [{ name: "a" }, { name }] })],
  ['extra["a"]["b"][1]', (text) => ({ extra: { a: { b: [1, text], c: null } } })],
  ["json.string_value", (value) => ({ json: { kind: { case: "stringValue", value } } })],
  [
    'json.struct_value.fields["a"].string_value',
    (value) => ({
      json: {
        kind: { case: "structValue", value: { fields: { a: { kind: { case: "stringValue", value } } } } },
      },
    }),
  ],
  ['extras[0]["a"]', (a) => ({ extras: [{ a }] })],
  ["any.name", (name) => ({ any: named(name) }), "\0"],
  ["any.name", (name) => ({ any: anyWithin(3, named(name)) }), "\0"],
  ["any.type_url", (text) => ({ any: { typeUrl: `a/${text}` } })],
];
const keys: readonly (readonly [field: string, look: (key: string) => Look])[] = [
  ["labels", (key) => ({ labels: { [key]: "v" } })],
  ["parts", (key) => ({ parts: { [key]: {} } })],
  ["extra", (key) => ({ extra: { [key]: 1 } })],
];

const hostile = ["\0", "a\0b", "\ud800", "a\udc00", "\udc00\ud800", `${"x".repeat(10_000)}\0`];
const ordinary = [
  "",
  "a",
  "\u0001\n\u007f",
  "é",
  "한글",
  "😀",
  "\uffff",
  "\ufffd",
  "\ufeff",
  "\u{10ffff}",
  "\\ud800",
  "%00",
];

describe.each(places)("%s", (path, look, only) => {
  test("is refused by its path with NUL or half a surrogate pair", () => {
    for (const text of hostile.filter((each) => only === undefined || each === only)) {
      expect(pathIn(look(text))).toBe(`invalid_argument FIELD_INVALID ${path}`);
    }
  });

  test("takes any other text", () => {
    for (const text of ordinary) expect(pathIn(look(text))).toBe("taken");
  });
});

test.each(keys)("a key of %s is refused by its path, in which it is escaped and cut", (field, look) => {
  const refused = `invalid_argument FIELD_INVALID ${field}`;
  expect(pathIn(look("k\0"))).toBe(`${refused}["k\\u0000"] (key)`);
  expect(pathIn(look("\ud800"))).toBe(`${refused}["\\ud800"] (key)`);
  expect(pathIn(look(`${"k".repeat(100)}\0`))).toBe(`${refused}["${"k".repeat(64)}"] (key)`);
  for (const key of [...ordinary, "__proto__"]) expect(pathIn(look(key))).toBe("taken");
});

test("bytes may be anything, and so may what stands in an Any of a type that nobody knows", () => {
  const bytes = Uint8Array.of(0, 0xed, 0xa0, 0x80, 0xff);
  expect(pathIn({ raw: bytes })).toBe("taken");
  expect(pathIn({ either: { case: "blob", value: bytes } })).toBe("taken");
  expect(pathIn({ any: { typeUrl: "a/unknown.Type", value: bytes } })).toBe("taken");
});

test("an Any whose bytes are no message of its type is refused, and so is one in more than a hundred others", () => {
  const invalid = { typeUrl: `a/${NestedSchema.typeName}`, value: Uint8Array.of(0x0a, 0x01, 0xff) };
  expect(pathIn({ any: invalid })).toBe("invalid_argument FIELD_INVALID any.value");
  expect(pathIn({ any: anyWithin(99, named("a")) })).toBe("taken");
  expect(pathIn({ any: anyWithin(100, named("a")) })).toStartWith("invalid_argument FIELD_INVALID any.value");
  expect(pathIn({ any: anyWithin(2000, named("a")) })).toStartWith("invalid_argument FIELD_INVALID any.value");
  expect(pathIn({ any: anyWithin(99, named("a")) })).toBe("taken");
});

test.each<[what: string, from: string, to: string, noticed: string]>([
  ["NUL", 'value.includes("\\0") || ', "", "name"],
  ["surrogates", " || !value.isWellFormed()", "", "name"],
  ["lists", "return `[${index}]${path}`;", "return undefined;", "tags[1]"],
  ["map values", "return `${subscript(key)}${path}`;", "return undefined;", 'labels["k"]'],
  ["types in themselves", "return (value) => known.find?.(value);", "return undefined;", "nested.nested.nested.name"],
  ["oneofs", "return chosen.case === localName ?", "return chosen.case === undefined ?", "text"],
  ["wrappers", "return textOf(field.message.fields[0].scalar);", "return undefined;", "maybe_text"],
  ["Structs", "return isJson ? findInJson :", "return isJson ? undefined :", 'extra["a"]["b"][1]'],
  ["Any", "return message === undefined ?", "return message !== undefined ?", "any.name"],
  ["types of Any", 'return ".type_url";', "return undefined;", "any.type_url"],
])("mutant: without %s", async (_, from, to, noticed) => {
  const mutant = await importMutant<typeof real>(join(import.meta.dir, "text.ts"), from, to);
  const missed = places.filter(([path, look, only]) =>
    hostile.some((text) => {
      if (only !== undefined && text !== only) return false;
      return pathIn(look(text), mutant) !== `invalid_argument FIELD_INVALID ${path}`;
    }),
  );
  expect(missed.map(([path]) => path)).toContain(noticed);
});

test("mutant: without map keys", async () => {
  const mutant = await importMutant<typeof real>(
    join(import.meta.dir, "text.ts"),
    "if (findKey?.(key) !== undefined)",
    "if (false)",
  );
  expect(keys.map(([, look]) => pathIn(look("\0"), mutant))).toEqual(["taken", "taken", "taken"]);
});

test("mutant: without a bound on Any in Any", async () => {
  const mutant = await importMutant<typeof real>(
    join(import.meta.dir, "text.ts"),
    "this.#anyDepth === anyDepthMax",
    "false",
  );
  expect(pathIn({ any: anyWithin(100, named("a")) }, mutant)).toBe("taken");
});

test("mutant: a depth that is never left", async () => {
  const mutant = await importMutant<typeof real>(join(import.meta.dir, "text.ts"), "this.#anyDepth -= 1;", "");
  const check = mutant.compileTextCheck(LookRequestSchema, registry);
  const message = create(LookRequestSchema, { any: anyWithin(60, named("a")) });
  check(message);
  expect(() => check(message)).toThrow("any.value");
});
