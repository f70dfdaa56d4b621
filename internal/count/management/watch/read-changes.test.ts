import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import * as fc from "fast-check";
import { CountsChangedSchema } from "../../../gen/muin/count/v1/count_value_events_pb.ts";
import { caught, importMutant } from "../../../platform/testing/mutant.ts";
import * as real from "./read-changes.ts";

type Read = typeof real.readChanges;

const max = 9_007_199_254_740_991n;
const value = fc.oneof(fc.bigInt({ min: -max, max }), fc.constantFrom(0n, 1n, -1n, 127n, 128n, max, -max));
const delta = fc.oneof(value, fc.constantFrom(max + 1n, 2n * max, -2n * max));
const changed = fc
  .record({
    shard: fc.constantFrom("0", "12", ""),
    changes: fc.array(
      fc.record({
        countId: fc.constantFrom("a", "count-1", "b".repeat(128), "개수", ""),
        delta,
        value,
        revision: fc.oneof(fc.bigInt({ min: 1n, max }), fc.constant(0n)),
        requestId: fc.constantFrom("", "request-1", "~".repeat(64), "é"),
        time: fc.option(fc.constantFrom(0, 1_795_260_000_001).map(timestampFromMs), { nil: undefined }),
      }),
      { maxLength: 5 },
    ),
  })
  .map((init) => toBinary(CountsChangedSchema, create(CountsChangedSchema, init as Parameters<typeof create>[1])));
/** Events as they are, cut, with a byte changed, and followed by another field. */
const data = fc.tuple(changed, fc.nat(5), fc.nat(), fc.nat(255)).map(([whole, how, at, byte]) => {
  if (how === 0) return whole.subarray(0, at % (whole.length + 1));
  if (how === 1) return new Uint8Array([...whole, byte % 128, at % 128, 1, 0]);
  const bytes = Uint8Array.from(whole);
  if (how === 2 && bytes.length > 0) bytes[at % bytes.length] = byte;
  return bytes;
});

/** What the generated code reads, or that it refuses; so does the watch what cannot be a value or a revision. */
function expected(bytes: Uint8Array): object | "refused" {
  try {
    const { changes } = fromBinary(CountsChangedSchema, bytes);
    const told = changes.map((each) => [each.countId, each.delta, each.value, each.revision] as const);
    return told.some(([, , of, revision]) => [of, revision].some((each) => each > max || each < -max))
      ? "refused"
      : told;
  } catch {
    return "refused";
  }
}

function readBy(read: Read, bytes: Uint8Array): object | "refused" {
  try {
    const { countIds, deltas, values, revisions } = read(bytes);
    return countIds.map((id, at) => [id, BigInt(deltas[at]!), BigInt(values[at]!), BigInt(revisions[at]!)]);
  } catch {
    return "refused";
  }
}

/** Random events: read as the generated code reads them, or refused as it refuses them. */
function holdToGenerated(read: Read, numRuns: number): void {
  fc.assert(
    fc.property(data, (bytes) => {
      expect(readBy(read, bytes)).toEqual(expected(bytes));
    }),
    { numRuns, endOnFailure: true }, // A failure prints its seed and path.
  );
}

test("changes are read as the generated code reads them, whatever the bytes", () => {
  holdToGenerated(real.readChanges, 3000);
});

test("a delta beyond 2^53 is exact, and a sum becomes a number again where it can", () => {
  const all = { countId: "a", delta: 2n * max - 1n, value: max, revision: 7n };
  const bytes = toBinary(CountsChangedSchema, create(CountsChangedSchema, { shard: "0", changes: [all] }));
  expect(real.readChanges(bytes)).toEqual({
    countIds: ["a"],
    deltas: [18_014_398_509_481_981n],
    values: [9_007_199_254_740_991],
    revisions: [7],
  });
  expect(real.plus(18_014_398_509_481_981n, -9_007_199_254_740_991)).toBe(9_007_199_254_740_990);
  expect(real.plus(9_007_199_254_740_991, 2)).toBe(9_007_199_254_740_993n);
  expect(real.plus(9_007_199_254_740_991, -2)).toBe(9_007_199_254_740_989);
});

describe("it is noticed that", () => {
  const own = join(import.meta.dir, "read-changes.ts");
  const reader = join(import.meta.dir, "../../shared/wire-reader.ts");
  test.each([
    [
      "an unknown field is passed over",
      own,
      "    } else {\n      reader.refuse();\n    }\n  }\n  return reader.isRefused",
      "    }\n  }\n  return reader.isRefused",
    ],
    ["a value stays from the change before", own, "let value = 0;", "let value = values.at(-1) ?? 0;"],
    ["a delta is cut", own, "delta = reader.int64();", "delta = reader.int64() | 0;"],
    ["other texts than ASCII are taken", reader, "if (allowed[bytes[at]!] === 0) this.#isRefused = true;", ""],
    ["what is refused is taken", own, "return reader.isRefused ? undefined : changes;", "return changes;"],
  ])("%s", async (_, path, from, to) => {
    const mutant = await importMutant<typeof real>(path, from, to, path === own ? [] : [own]);
    await caught(() => holdToGenerated(mutant.readChanges, 20_000));
  });
});
