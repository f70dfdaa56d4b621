import { expect, test } from "bun:test";
import { join } from "node:path";
import { envelope } from "../../testing/http2-frames.ts";
import { caught, importMutant } from "../../testing/mutant.ts";
import * as real from "./pieces.ts";

/** Bytes, each its place modulo 251. */
function bytesOf(length: number): Buffer {
  return Buffer.from(Array.from({ length }, (_, index) => index % 251));
}

async function* cut(bytes: Uint8Array, length: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += length) {
    await Promise.resolve();
    yield bytes.subarray(at, at + length);
  }
}

async function all(pieces: AsyncIterable<Uint8Array>): Promise<readonly string[]> {
  const found: string[] = [];
  for await (const piece of pieces) found.push(Buffer.from(piece).toString("hex"));
  return found;
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

test("pieces are put together, however they are cut", () => {
  const bytes = bytesOf(5000);
  for (const length of [1, 3, 1023, 4999, 5000]) {
    const pieces = new real.Pieces();
    for (let at = 0; at < bytes.length; at += length) pieces.add(bytes.subarray(at, at + length));
    expect(hex(pieces.whole())).toBe(hex(bytes));
  }
  expect(new real.Pieces().whole()).toHaveLength(0);
});

test("what is put together leaves the pieces as they are", () => {
  const first = Buffer.from("abc");
  const pieces = new real.Pieces();
  pieces.add(first.subarray(0, 1));
  pieces.add(Buffer.from("X"));
  expect([Buffer.from(pieces.whole()).toString(), first.toString()]).toEqual(["aX", "abc"]);
});

const one = envelope(bytesOf(300));
const two = Buffer.concat([one, envelope(new Uint8Array()), envelope(bytesOf(7))]);

/** What comes of bodies of envelopes that are cut in some way, of which a message may have 1000 bytes. */
async function envelopes({ inEnvelopes }: Pick<typeof real, "inEnvelopes">): Promise<unknown> {
  const came = (bytes: Uint8Array, length: number) => all(inEnvelopes(cut(bytes, length), 1000));
  return {
    bytewise: await came(one, 1),
    whole: await came(one, 1000),
    several: await came(two, 1000),
    severalBytewise: await came(two, 1),
    cutOff: await came(one.subarray(0, 100), 1),
    headless: await came(one.subarray(0, 3), 1),
    none: await came(new Uint8Array(), 1),
    tooLarge: (await came(envelope(bytesOf(20), { length: 1001 }), 1))[0],
    /** The first of what comes, while its sender waits for an answer with the second begun. */
    early: await firstOf(inEnvelopes, two.subarray(0, 306)),
  };
}

async function firstOf(inEnvelopes: typeof real.inEnvelopes, bytes: Uint8Array): Promise<string> {
  async function* waits(): AsyncGenerator<Uint8Array> {
    yield* cut(bytes, 50);
    await new Promise(() => undefined);
  }
  const { value } = await inEnvelopes(waits(), 1000)[Symbol.asyncIterator]().next();
  return hex(value as Uint8Array);
}

const expected = {
  bytewise: [hex(one)],
  whole: [hex(one)],
  several: [hex(two)],
  severalBytewise: [hex(one), "0000000000", `0000000007${hex(bytesOf(7))}`],
  cutOff: [hex(one.subarray(0, 100))],
  headless: ["000000"],
  none: [],
  tooLarge: "00000003e9",
  early: hex(one),
};

test("a message comes in one piece, once it is whole; one that is too large as soon as it says so", async () => {
  expect(await envelopes(real)).toEqual(expected);
});

test.each([
  ["messages come as they are cut", "if (end === 0) continue;", "if (end === 0) end = waiting.byteLength;"],
  ["what is too large is kept", "promised > bytesMax", "false"],
])("a mutant is caught in which %s", async (_, from, to) => {
  const mutant = await importMutant<typeof real>(join(import.meta.dir, "pieces.ts"), from, to);
  await caught(async () => expect(await envelopes(mutant)).toEqual(expected));
});

/** Lengths of the blocks of a body of `length` bytes that is cut in some way, of which `bytesMax` are taken. */
async function blocksOf(
  { inBlocks }: Pick<typeof real, "inBlocks">,
  length: number,
  pieceBytes: number,
  bytesMax: number,
): Promise<readonly number[]> {
  const bytes = bytesOf(length);
  const blocks = await all(inBlocks(cut(bytes, pieceBytes), bytesMax));
  expect(blocks.join("")).toBe(hex(bytes));
  return blocks.map((block) => block.length / 2);
}

async function inTime(module: Pick<typeof real, "inBlocks">): Promise<void> {
  expect(await blocksOf(module, 40_000, 1, 50_000)).toEqual([16_384, 16_384, 7232]);
  expect(await blocksOf(module, 40_000, 20_000, 50_000)).toEqual([20_000, 20_000]);
  expect(await blocksOf(module, 1600, 800, 1000)).toEqual([1600]);
  expect(await blocksOf(module, 17_000, 1, 16_385)).toEqual([16_384, 2, ...Array.from({ length: 614 }, () => 1)]);
}

test("a body that is read whole comes in blocks of 16 KiB and what is left; what is too much at once", () =>
  inTime(real));

test.each([
  ["small pieces stay apart", "waiting.byteLength < blockBytes && ", "false && "],
  ["what is too much waits for more", " && bytes <= bytesMax", ""],
])("a mutant is caught in which %s", async (_, from, to) => {
  const mutant = await importMutant<typeof real>(join(import.meta.dir, "pieces.ts"), from, to);
  await caught(() => inTime(mutant));
});
