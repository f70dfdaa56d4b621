import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import * as fc from "fast-check";
import { CountsChangedSchema } from "../../../gen/muin/count/v1/count_value_events_pb.ts";
import { caught, importMutant } from "../../../platform/testing/mutant.ts";
import { packAsked } from "../../shared/packed-writes.ts";
import * as real from "./counts-changed.ts";

type Encode = typeof real.encodeCountsChanged;

const number = fc.oneof(
  fc.maxSafeInteger(),
  fc.constantFrom(0, 1, -1, 127, 128, 2 ** 32 - 1, 2 ** 32, -(2 ** 32), 2 ** 53 - 1, -(2 ** 53 - 1)),
);
const write = fc.record({
  countId: fc.constantFrom("a", "b-1", "c".repeat(63), "d".repeat(128)),
  kind: fc.constantFrom("a", "s"),
  requestId: fc.oneof({ weight: 3, arbitrary: fc.constant("") }, fc.stringMatching(/^[!-~]{8,64}$/)),
  operand: number,
  before: number,
  value: number,
  revision: fc.integer({ min: 1, max: 2 ** 53 - 1 }),
  /** As a reply has it: 0 for what was applied now. */
  code: fc.constantFrom("0", "0", "0", "1", "2", "4"),
});
type Write = typeof write extends fc.Arbitrary<infer W> ? W : never;

/** An entry of these writes, packed as `packed-writes.ts` says. */
function entryOf(writes: readonly Write[], timeMs: number) {
  const countIds = [...new Set(writes.map(({ countId }) => countId))];
  const allApplied = writes.every(({ code }) => code === "0");
  const codes = allApplied ? "" : writes.map(({ code }) => code).join("");
  const befores = writes.filter(({ kind, code }) => kind === "s" && code === "0").map(({ before }) => before);
  const numbers = [...writes.flatMap(({ value, revision }) => [value, revision]), ...befores];
  const reply = Buffer.alloc(14 + codes.length + 8 * numbers.length);
  reply.writeDoubleLE(timeMs, 0);
  reply.writeUInt16LE(codes.length, 8);
  reply.writeUInt16LE(befores.length, 10);
  reply.write(codes, 14, "latin1");
  for (const [place, each] of numbers.entries()) reply.writeDoubleLE(each, 14 + codes.length + 8 * place);
  const hasRequestIds = writes.some(({ requestId }) => requestId !== "");
  return {
    asked: packAsked({
      countIds,
      places: writes.map(({ countId }) => countIds.indexOf(countId) + 1),
      kinds: writes.map(({ kind, requestId }) => (requestId === "" ? kind : kind.toUpperCase())).join(""),
      operands: writes.map(({ operand }) => operand),
    }),
    requested: Buffer.from(hasRequestIds ? writes.map(({ requestId }) => `${requestId}\n`).join("") : ""),
    reply,
  };
}

/** Random entries: their event is, byte for byte, what the generated code makes of the message. */
function holdToGenerated(encode: Encode): void {
  const writes = fc.oneof(
    fc.array(write, { minLength: 1, maxLength: 12 }),
    fc.uniqueArray(write, { minLength: 1, maxLength: 4, selector: ({ countId }) => countId }),
    fc.constantFrom(100, 512).chain((length) => fc.array(write, { minLength: length, maxLength: length })),
  );
  const times = fc.oneof(fc.constantFrom(1_795_260_000_000, 1_795_260_000_001), fc.integer({ min: 0, max: 2 ** 45 }));
  fc.assert(
    fc.property(writes, times, fc.constantFrom("0", "11"), (all, timeMs, shard) => {
      const message = create(CountsChangedSchema, {
        shard,
        changes: all
          .filter(({ code }) => code === "0")
          .map(({ countId, kind, operand, before, value, revision, requestId }) => ({
            countId,
            delta: kind === "a" ? BigInt(operand) : BigInt(value) - BigInt(before),
            value: BigInt(value),
            revision: BigInt(revision),
            requestId,
            time: timestampFromMs(timeMs),
          })),
      });
      const encoded = encode(shard, entryOf(all, timeMs));
      expect(fromBinary(CountsChangedSchema, encoded)).toEqual(message);
      expect(encoded.toHex()).toBe(toBinary(CountsChangedSchema, message).toHex());
    }),
    { numRuns: 300, endOnFailure: true }, // A failure prints its seed and path.
  );
}

test("an event is written as the generated code would, whatever was applied", () => {
  holdToGenerated(real.encodeCountsChanged);
});

test("an entry that is cut off, or whose write is of no Count, cannot be read", () => {
  const numbers = { operand: 1, before: 0, value: 1, revision: 1 };
  const write = { countId: "a", kind: "a", requestId: "", code: "0", ...numbers } as const;
  const entry = entryOf([write, { ...write, countId: "bcd" }, write], 1);
  expect(real.encodeCountsChanged("0", entry).length).toBeGreaterThan(0);
  for (let length = 0; length < entry.asked.length; length += 1) {
    expect(() => real.encodeCountsChanged("0", { ...entry, asked: entry.asked.subarray(0, length) })).toThrow();
  }
  for (let length = 0; length < entry.reply.length; length += 1) {
    expect(() => real.encodeCountsChanged("0", { ...entry, reply: entry.reply.subarray(0, length) })).toThrow();
  }
  for (const place of [0, 3]) {
    const asked = Buffer.from(entry.asked);
    asked.writeUInt16LE(place, 7 + 2); // Behind the numbers of writes and Counts and the kinds: the second write's.
    expect(() => real.encodeCountsChanged("0", { ...entry, asked })).toThrow("write 1 is of no Count");
  }
  const reply = Buffer.from(entry.reply);
  reply.writeDoubleLE(1.5, 14);
  expect(() => real.encodeCountsChanged("0", { ...entry, reply })).toThrow("1.5 is no whole number");
});

describe("it is noticed that", () => {
  test.each([
    ["a refused write counts as applied", "counts-changed.ts", "reply[14 + write] === applied", "true"],
    [
      "a place is passed over",
      "counts-changed.ts",
      "ids < writes ? asked.readUInt16LE",
      "ids > writes ? asked.readUInt16LE",
    ],
    ["a value before stays", "counts-changed.ts", "beforeAt += 8;", ""],
    [
      "a request id goes to its neighbour",
      "counts-changed.ts",
      "requestAt = requestEnd + 1;",
      "requestAt = requestEnd;",
    ],
    ["a borrow is lost", "../../shared/wire-writer.ts", "(low < 0 ? 1 : 0)", "0"],
    ["a negative number is cut", "../../shared/wire-writer.ts", "Math.floor(value / twoTo32) >>> 0)", "0)"],
    [
      "a longer length overwrites",
      "../../shared/wire-writer.ts",
      "opened + lengthBytes - 1, opened, this.#end",
      "opened, opened, this.#end",
    ],
    ["room is not made", "../../shared/wire-writer.ts", "this.#bytes = larger;", ""],
  ])("%s", async (_, file, from, to) => {
    const own = join(import.meta.dir, "counts-changed.ts");
    const path = join(import.meta.dir, file);
    const mutant = await importMutant<typeof real>(path, from, to, path === own ? [] : [own]);
    await caught(() => holdToGenerated(mutant.encodeCountsChanged));
  });
});
