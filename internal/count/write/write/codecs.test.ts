import { create, fromBinary, toBinary, type DescMessage, type Message } from "@bufbuild/protobuf";
import { anyPack } from "@bufbuild/protobuf/wkt";
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { createValidator } from "@bufbuild/protovalidate";
import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import * as fc from "fast-check";
import { ErrorInfoSchema } from "../../../gen/google/rpc/error_details_pb.ts";
import { StatusSchema } from "../../../gen/google/rpc/status_pb.ts";
import { CountWriteService } from "../../../gen/muin/count/v1/count_write_service_pb.ts";
import { systemClock } from "../../../platform/clock/clock.ts";
import { serve } from "../../../platform/service/parts.ts";
import { startHttpServer } from "../../../platform/testing/http-server.ts";
import { caught, importMutant } from "../../../platform/testing/mutant.ts";
import type { AppliedWrite } from "./batch.ts";
import * as real from "./codecs.ts";
import { createHandlers } from "./handlers.ts";
import { AppliedReply, BatchReply } from "./replies.ts";
import type { CountWriter } from "./writer.ts";

type Codecs = typeof real.countWriteCodecs;

const own = join(import.meta.dir, "codecs.ts");

/** The library's own, with its own matcher of patterns. */
const protovalidate = createValidator();
const { increment, decrement, set, batchWrite } = CountWriteService.method;
const max = 9_007_199_254_740_991n;

/** Texts around every rule, and some that are no text. */
const text = fc.oneof(
  fc.constantFrom(
    "a",
    "count-1",
    "12345678",
    "1234567",
    "",
    "A",
    "aA",
    "-a",
    "a_b",
    "é",
    "a\0",
    "\ud800",
    "a b cdefgh",
    "\x7f",
  ),
  fc.constantFrom(64, 65, 128, 129).map((length) => "a".repeat(length)),
  fc.constantFrom("ff", "c3", "eda080").map((hex) => Uint8Array.fromHex(hex)),
);
const good = fc.constantFrom("a", "count-1", "12345678", "1".repeat(64));
const long = fc.oneof(
  fc.bigInt({ min: -3n, max: 300n }),
  fc.constantFrom(
    max,
    max + 1n,
    -max,
    -max - 1n,
    2n ** 63n - 1n,
    -(2n ** 63n),
    127n,
    128n,
    2n ** 28n,
    2n ** 32n,
    2n ** 35n,
  ),
);
/** Most are in bounds. */
const goodLong = fc.constantFrom(0n, -1n, 1n, 127n, 128n, 300n, 2n ** 28n, 2n ** 31n, 2n ** 32n + 5n, 2n ** 42n, max);

/** A varint of 64 bits, with bytes more than it needs. */
function varint(value: bigint, more: number): Uint8Array {
  const bytes: number[] = [];
  let rest = BigInt.asUintN(64, value);
  do {
    bytes.push(Number(rest & 0x7fn) | 0x80);
    rest >>= 7n;
  } while (rest > 0n);
  for (let place = 0; place < more; place += 1) bytes.push(0x80);
  bytes[bytes.length - 1]! &= 0x7f;
  return Uint8Array.from(bytes);
}

function tagged(no: number, type: WireType, write: (writer: BinaryWriter) => void): Uint8Array {
  const writer = new BinaryWriter().tag(no, type);
  write(writer);
  return writer.finish();
}

function lengthDelimited(no: number, value: string | Uint8Array): Uint8Array {
  return tagged(no, WireType.LengthDelimited, (writer) =>
    typeof value === "string" ? writer.string(value) : writer.bytes(value),
  );
}

/** Any field, in any form. */
const anyField = (texts: readonly number[], longs: readonly number[]) =>
  fc.oneof(
    {
      weight: 6,
      arbitrary: fc.tuple(fc.constantFrom(...texts), text).map(([no, value]) => lengthDelimited(no, value)),
    },
    {
      weight: 6,
      arbitrary: fc
        .tuple(fc.constantFrom(...longs), long, fc.constantFrom(0, 0, 0, 1, 9))
        .map(([no, value, more]) => tagged(no, WireType.Varint, (writer) => writer.raw(varint(value, more)))),
    },
    fc
      .tuple(fc.constantFrom(...texts, ...longs, 6, 15, 16, 2000), fc.constantFrom(0, 1, 2, 3, 4, 5, 6, 7))
      .map(([no, type]) =>
        new BinaryWriter()
          .uint32(no * 8 + type)
          .raw(Uint8Array.of(3, 1, 2, 3))
          .finish(),
      ),
    fc.constantFrom(0x1b, 0x33).map((tag) => Uint8Array.of(tag, 0x08, 1, tag + 1)), // A group.
    fc.constant(Uint8Array.of(0)),
    fc.uint8Array({ maxLength: 4 }),
  );

/** Bytes of a message with these fields: good ones, any ones, and such as were spoilt on the way. */
function messages(texts: readonly [number, number], longs: readonly number[]): fc.Arbitrary<Uint8Array> {
  const [id, requestId] = texts;
  const whole = fc
    .tuple(
      good,
      fc.constantFrom(...longs),
      goodLong,
      fc.option(fc.constantFrom("12345678", "~".repeat(64)), { nil: "" }),
    )
    .map(([countId, no, value, request]) => {
      const fields = concat([
        lengthDelimited(id, countId),
        tagged(no, WireType.Varint, (writer) => writer.raw(varint(value, 0))),
      ]);
      return request === "" ? fields : concat([fields, lengthDelimited(requestId, request)]);
    });
  const more = fc.option(anyField(texts, longs), { nil: new Uint8Array(), freq: 2 });
  return fc.oneof(
    {
      weight: 5,
      arbitrary: fc.tuple(more, whole, more).map(([before, fields, after]) => concat([before, fields, after])),
    },
    fc.array(anyField(texts, longs), { maxLength: 5 }).map(concat),
  );
}

const concat = (parts: readonly Uint8Array[]): Uint8Array => new Uint8Array(Buffer.concat(parts));

/** The bytes as they are, cut, or with a byte changed. */
function spoilt(bytes: fc.Arbitrary<Uint8Array>): fc.Arbitrary<Uint8Array> {
  return fc.tuple(bytes, fc.nat(4), fc.nat(), fc.nat(255)).map(([whole, how, at, value]) => {
    if (how === 0) return whole.subarray(0, at % (whole.length + 1));
    if (how > 1) return whole;
    const changed = Uint8Array.from(whole);
    if (changed.length > 0) changed[at % changed.length] = value;
    return changed;
  });
}

const ofSingle = spoilt(messages([1, 3], [2]));
const ofBatch = spoilt(
  fc
    .tuple(
      fc.array(messages([1, 5], [2, 3, 4]), { maxLength: 3 }),
      fc.option(anyField([1], [2]), { nil: new Uint8Array(), freq: 4 }),
    )
    .map(([writes, more]) => concat([...writes.map((write) => lengthDelimited(1, write)), more])),
);
const bytesOf: Readonly<Record<string, fc.Arbitrary<Uint8Array>>> = {
  Increment: ofSingle,
  Decrement: ofSingle,
  Set: ofSingle,
  BatchWrite: ofBatch,
};

/** What the generated code reads, when it is a message that keeps its rules and is as a codec may read it. */
function generated(schema: DescMessage, bytes: Uint8Array): Message | "refused" {
  try {
    const message = fromBinary(schema, bytes);
    const isValid = protovalidate.validate(schema, message).kind === "valid";
    const hasNul = JSON.stringify(message, (_, value: unknown) =>
      typeof value === "bigint" ? `${value}` : value,
    ).includes("\\u0000");
    return isValid && !hasNul ? message : "refused";
  } catch {
    return "refused";
  }
}

/** Random bytes, 500 a round and method: what a codec reads, the generated code reads alike and protovalidate finds valid. Answers how often it read. */
function holdReads(codecs: Codecs, rounds: number): number {
  let read = 0;
  for (let round = 0; round < rounds; round += 1) {
    for (const { method, read: readRequest } of codecs) {
      fc.assert(
        fc.property(bytesOf[method.name]!, (bytes) => {
          const request = readRequest(bytes);
          if (request === undefined) return;
          read += 1;
          expect(generated(method.input, bytes)).toEqual(request);
        }),
        { numRuns: 500, endOnFailure: true }, // A failure prints its seed and path.
      );
    }
  }
  return read;
}

/** Requests that keep every rule, as the generated code writes them: each is read. */
function holdTakes(codecs: Codecs): void {
  const countIds = ["a", "0.-_z", "a".repeat(128)];
  const requestIds = ["", "12345678", "~".repeat(64), "!}#$%&'()"];
  const values = [1n, 127n, 128n, 2n ** 21n, 2n ** 28n, 2n ** 32n - 1n, 2n ** 35n, 2n ** 49n, max];
  for (const countId of countIds) {
    for (const requestId of requestIds) {
      for (const value of values) {
        const single = [increment, decrement].map((method) => [method, { countId, requestId, delta: value }] as const);
        const none = [increment, decrement].map((method) => [method, { countId, requestId }] as const);
        const sets = [value, 0n, -value].map((each) => [set, { countId, requestId, value: each }] as const);
        const writes = (["increment", "decrement", "set"] as const).map((name) => ({
          countId,
          requestId,
          operation: { case: name, value },
        }));
        const negative = { countId, requestId, operation: { case: "set" as const, value: -value } };
        const many = Array.from({ length: 1000 / 4 }, () => [...writes, negative]).flat();
        for (const [method, init] of [
          ...single,
          ...none,
          ...sets,
          [batchWrite, { writes }],
          [batchWrite, { writes: many }],
        ] as const) {
          const message = create(method.input as DescMessage, init as Record<string, unknown>);
          const read = codecs
            .find((each) => each.method === method)
            ?.read(toBinary(method.input as DescMessage, message));
          expect(read).toEqual(message);
        }
      }
    }
  }
}

const number = fc.oneof(fc.maxSafeInteger(), fc.constantFrom(0, 1, -1, 127, 128, Number(max), -Number(max)));
const applied: fc.Arbitrary<AppliedWrite> = fc.record({
  outcome: fc.constantFrom("applied", "replayed"),
  value: number,
  revision: fc.integer({ min: 1, max: Number(max) }),
  timeMs: fc.oneof(
    fc.constantFrom(0, 999, 1000, 1_795_260_000_000, 1_795_260_000_001),
    fc.integer({ min: 0, max: 2 ** 45 }),
  ),
});
const status = fc.constantFrom(0, 60, 200).map((length) =>
  create(StatusSchema, {
    code: 5,
    message: "없음 ".repeat(length),
    details: [anyPack(ErrorInfoSchema, create(ErrorInfoSchema, { reason: "COUNT_NOT_FOUND", domain: "muin" }))],
  }),
);
const countId = fc.constantFrom("a", "count-1", "a".repeat(63), "b".repeat(128));

/** Random replies: what a codec writes is, byte for byte, what the generated code writes of the message. */
function holdWrites(codecs: Codecs): void {
  const shared = create(StatusSchema, { code: 14 });
  const single = fc.tuple(countId, applied).map(([id, write]) => new AppliedReply(id, write));
  const result = fc.oneof({ weight: 3, arbitrary: applied }, status, fc.constant(shared));
  const batch = fc.array(fc.tuple(countId, result), { maxLength: 60 }).map(
    (all) =>
      new BatchReply(
        all.map(([id]) => id),
        all.map(([, each]) => each),
      ),
  );
  for (const { method, write } of codecs) {
    fc.assert(
      fc.property(method === batchWrite ? batch : single, (reply) => {
        const message = create(method.output, reply as object as Record<string, unknown>);
        expect(write(reply as unknown as Message)?.toHex()).toBe(toBinary(method.output, message).toHex());
      }),
      { numRuns: 200, endOnFailure: true },
    );
  }
}

test("what a codec reads, the generated code reads alike, and it keeps the rules of its proto", () => {
  expect(holdReads(real.countWriteCodecs, 6)).toBeGreaterThan(1000);
});

test("a request that keeps the rules, written as usual, is read", () => {
  holdTakes(real.countWriteCodecs);
});

test("a reply is written as the generated code would", () => {
  holdWrites(real.countWriteCodecs);
});

test("more writes than a batch takes, and other replies than the handlers', are left to the generated code", () => {
  const [single, , , batch] = real.countWriteCodecs;
  const write = lengthDelimited(1, concat([lengthDelimited(1, "a"), Uint8Array.of(0x10, 1)]));
  expect(batch?.read(concat(Array.from({ length: 1000 }, () => write)))).toBeDefined();
  expect(batch?.read(concat(Array.from({ length: 1001 }, () => write)))).toBeUndefined();
  expect(batch?.read(new Uint8Array())).toBeUndefined();
  expect(single?.write(create(increment.output, {}))).toBeUndefined();
  expect(batch?.write(create(batchWrite.output, {}))).toBeUndefined();
});

describe("over Connect, with the codecs and without", () => {
  const caller = { kind: "api_key", id: "k1", principal: "api_key:k1", scopes: new Set(["counts.write"]) } as const;
  /** A writer of which every Count stands at 5, but those that are missing. */
  const writer = {
    shardOf: () => 0,
    batchMax: 100,
    write: async (_shard: number, writes: readonly { readonly countId: string; readonly requestId: string }[]) =>
      writes.map(({ countId: id, requestId }) =>
        id === "a"
          ? { outcome: "not_found" }
          : { outcome: requestId === "" ? "applied" : "replayed", value: 5, revision: 1, timeMs: 1_795_260_000_001 },
      ),
  } as unknown as CountWriter;
  const open = (codecs: Codecs, start = startHttpServer) => {
    const served = serve(CountWriteService, createHandlers({ writer, clock: systemClock }), { codecs });
    return start([{ ...served, hot: Object.values(CountWriteService.method) }], { caller });
  };
  type Server = Awaited<ReturnType<typeof open>>;

  const answerOf = async (server: Server, name: string, body: Uint8Array, key: string): Promise<string> => {
    const headers = {
      authorization: "Bearer good",
      "content-type": "application/proto",
      ...(key === "" ? {} : { "idempotency-key": key }),
    };
    const response = await fetch(`${server.url}/muin.count.v1.CountWriteService/${name}`, {
      method: "POST",
      headers,
      body: body as Uint8Array<ArrayBuffer>,
    });
    return `${response.status} ${(await response.bytes()).toHex()}`;
  };
  /** Random bodies, with and without an idempotency key: both servers answer alike. Answers the statuses that were seen. */
  const compare = async (one: Server, other: Server): Promise<ReadonlySet<string>> => {
    const statuses = new Set<string>();
    for (const [name, bytes] of Object.entries(bytesOf)) {
      const keys = fc.constantFrom("", "", "12345678", "1234567", "key of two words", "~".repeat(65));
      const property = fc.asyncProperty(bytes, keys, async (body, key) => {
        const answers = await Promise.all([one, other].map((server) => answerOf(server, name, body, key)));
        expect(answers[0]).toBe(answers[1]);
        statuses.add(answers[0]!.slice(0, 3));
      });
      await fc.assert(property, { numRuns: 200, endOnFailure: true });
    }
    return statuses;
  };

  test("every request is answered alike, byte for byte", async () => {
    await using one = await open(real.countWriteCodecs);
    await using other = await open([]);
    expect(await compare(one, other)).toEqual(new Set(["200", "400", "404"]));
    const huge = new Uint8Array(1024 * 1024 + 1);
    expect(await answerOf(one, "BatchWrite", huge, "")).toStartWith("429 ");
    expect(await answerOf(one, "BatchWrite", huge, "")).toBe(await answerOf(other, "BatchWrite", huge, ""));
  });

  test("a codec that takes what breaks the rules is noticed", async () => {
    const from = "return operand < 1 ? undefined";
    const mutant = await importMutant<typeof real>(own, from, "return operand < -9 ? undefined");
    await using one = await open(mutant.countWriteCodecs);
    await using other = await open([]);
    await caught(async () => void (await compare(one, other)));
  });

  test("a header that is not validated is noticed", async () => {
    const path = join(import.meta.dir, "../../../platform/rpc/call/accept-request.ts");
    const entry = join(import.meta.dir, "../../../platform/testing/http-server.ts");
    const { startHttpServer: start } = await importMutant<{ startHttpServer: typeof startHttpServer }>(
      path,
      " && idempotencyKey === null",
      "",
      [entry],
    );
    await using one = await open(real.countWriteCodecs, start);
    await using other = await open([]);
    await caught(async () => void (await compare(one, other)));
  });
});

const inShared = (file: string): string => join(import.meta.dir, "../../shared", file);

describe("it is noticed that a codec", () => {
  test.each([
    ["takes an id that is too long", own, "text.length <= idCharactersMax", "true"],
    ["takes an id that begins with a dot", own, "idStart.test(text)", 'text !== ""'],
    [
      "takes other characters in an id",
      own,
      '"abcdefghijklmnopqrstuvwxyz0123456789._-"',
      '"abcdefghijklmnopqrstuvwxyz0123456789._-A"',
    ],
    ["takes a short request id", own, "const requestIdCharactersMin = 8;", "const requestIdCharactersMin = 7;"],
    ["takes a long request id", own, "const requestIdCharactersMax = 64;", "const requestIdCharactersMax = 65;"],
    ["takes a space in a request id", inShared("wire-reader.ts"), "fill(1, 0x21, 0x7f)", "fill(1, 0x20, 0x7f)"],
    ["adds nothing", own, "return operand < 1 ? undefined", "return operand < 0 ? undefined"],
    ["adds nothing in a batch", own, '(name !== "set" && operand < 1)', '(name !== "set" && operand < 0)'],
    ["sets without a value", own, "single?.operand === undefined", "single === undefined"],
    ["takes a batch of nothing", own, "reader.isRefused || writes.length === 0", "reader.isRefused"],
    [
      "passes over what is unusual",
      own,
      "        requestId = reader.text(requestIdBytes);\n        break;\n      default:\n        reader.refuse();\n    }\n  }\n  return",
      "        requestId = reader.text(requestIdBytes);\n    }\n  }\n  return",
    ],
    ["reads beyond 2^53", inShared("wire-reader.ts"), "if (!Number.isSafeInteger(value)) break;", ""],
    ["takes a tag of no field", inShared("wire-reader.ts"), "if (tag === 0) this.#isRefused = true;", ""],
    ["takes any character", inShared("wire-reader.ts"), "if (allowed[bytes[at]!] === 0) this.#isRefused = true;", ""],
  ])("%s", async (_, path, from, to) => {
    const mutant = await importMutant<typeof real>(path, from, to, path === own ? [] : [own]);
    await caught(() => {
      holdReads(mutant.countWriteCodecs, 40);
    });
  });

  test.each([
    ["writes no length above 127", inShared("wire-writer.ts"), "if (length < 0x80) {", "if (length < 0x100) {"],
    ["forgets that it was replayed", own, 'if (outcome === "replayed") {', "if (false) {"],
    ["takes one error for another", own, "if (each !== status)", "if (status === undefined)"],
    ["forgets parts of a second", inShared("wire-writer.ts"), "if (nanos !== 0) {", "if (nanos < 0) {"],
    ["writes a zero", own, "if (value !== 0) {", "{"],
  ])("%s", async (_, path, from, to) => {
    const mutant = await importMutant<typeof real>(path, from, to, path === own ? [] : [own]);
    await caught(() => holdWrites(mutant.countWriteCodecs));
  });
});
