import { create, type DescMessage } from "@bufbuild/protobuf";
import { createValidator } from "@bufbuild/protovalidate";
import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import {
  BatchWriteRequestSchema,
  IncrementRequestSchema,
  SetRequestSchema,
} from "../../../gen/muin/count/v1/count_write_service_pb.ts";
import { ListCountsRequestSchema } from "../../../gen/muin/count/v1/count_management_service_pb.ts";
import { compilePlainCheck, type PlainCheck } from "./plain-checks.ts";
import { LookRequestSchema, ProbeRequestSchema } from "../testdata/probe_pb.ts";

const runs = 3000;
/** Not the matcher that the platform hands to protovalidate: the library's own, so that both are compared with the original. */
const protovalidate = createValidator();

/** Texts around every limit: ASCII, code points of two UTF-16 units, lone surrogates, line ends. */
const text = fc.oneof(
  fc.constantFrom("abc", "word"),
  fc.string({ unit: fc.constantFrom("a", "b", "z", "0", ".", "-", "A", "\n", "é", "😀", "~", " "), maxLength: 12 }),
  fc.constantFrom(
    "",
    "a",
    "abcd",
    "abcde",
    "😀😀",
    "12345678",
    "a\n",
    "a".repeat(128),
    "a".repeat(129),
    "😀".repeat(32),
  ),
  fc.integer({ min: 0, max: 200 }).map((length) => "a".repeat(length)),
);
const long = fc.oneof(
  fc.bigInt({ min: -12n, max: 12n }),
  fc.constantFrom(0n, 1n, -9n, -10n, 9007199254740991n, 9007199254740992n, -9007199254740991n, -9007199254740992n),
);
const optional = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: undefined });
const choice = (cases: Record<string, fc.Arbitrary<unknown>>) =>
  fc.oneof(
    fc.constant({ case: undefined }),
    ...Object.entries(cases).map(([name, value]) => fc.record({ case: fc.constant(name), value })),
  );

const messages: readonly [schema: DescMessage, init: fc.Arbitrary<object>][] = [
  [IncrementRequestSchema, fc.record({ countId: text, delta: optional(long), requestId: text })],
  [SetRequestSchema, fc.record({ countId: text, value: optional(long), requestId: text })],
  [
    BatchWriteRequestSchema,
    fc.record({
      writes: fc.array(
        fc.record({
          countId: text,
          requestId: text,
          operation: choice({ increment: long, decrement: long, set: long }),
        }),
        { maxLength: 3 },
      ),
    }),
  ],
  [
    ProbeRequestSchema,
    fc.record({
      name: text,
      act: text,
      amount: optional(long),
      requestId: text,
      repeat: fc.integer({ min: -2, max: 101 }),
      words: fc.array(text, { maxLength: 5 }),
      parts: fc.array(fc.record({ choice: choice({ text, number: long }) }), { maxLength: 3 }),
    }),
  ],
];

/** How often check and protovalidate agreed that a message is valid and that it is not. Throws where they differ. */
function compare(
  schema: DescMessage,
  init: fc.Arbitrary<object>,
  check: PlainCheck,
): { valid: number; invalid: number } {
  const seen = { valid: 0, invalid: 0 };
  fc.assert(
    fc.property(init, (shape) => {
      const message = create(schema, clean(shape));
      const valid = protovalidate.validate(schema, message).kind === "valid";
      seen[valid ? "valid" : "invalid"] += 1;
      expect(check(message)).toBe(valid);
    }),
    { numRuns: runs }, // A failure prints its seed and path.
  );
  return seen;
}

/** Without the fields that are absent: `create` takes no `undefined`. */
function clean(shape: object): Record<string, unknown> {
  return Object.fromEntries(Object.entries(shape).filter(([, value]) => value !== undefined));
}

describe.each(messages.map(([schema, init]) => [schema.typeName, schema, init] as const))("%s", (_, schema, init) => {
  test("the plain check and protovalidate agree on every message", () => {
    const { valid, invalid } = compare(schema, init, compilePlainCheck(schema)!);
    expect(Math.min(valid, invalid)).toBeGreaterThan(runs / 500);
  });

  test("a check that lets everything pass is caught", () => {
    expect(() => compare(schema, init, () => true)).toThrow("Property failed");
  });
});

test("messages with rules of other kinds are left to protovalidate", () => {
  expect(compilePlainCheck(ListCountsRequestSchema)).toBeUndefined();
});

test("a message that contains itself is left to protovalidate", () => {
  expect(compilePlainCheck(LookRequestSchema)).toBeUndefined();
});
