import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { caught, importMutant } from "../../../internal/platform/testing/mutant.ts";
import { OtherSourceError } from "./source-error.ts";
import type { Source } from "./source.ts";
import * as tails from "./tail.ts";

const bytes = Buffer.from(Array.from({ length: 200_000 }, (_, place) => (place * 7919 * place) % 251));

/** A source of these bytes, in chunks of `size`. */
function sourceOf(content: Uint8Array, size: number): Source {
  return {
    name: "input",
    compressed: false,
    head: content.subarray(0, 10),
    headIsAll: false,
    bytesTotal: content.length,
    bytesRead: () => 0,
    warnings: () => [],
    verify: () => Promise.resolve(),
    read: async function* read(offset) {
      for (let from = offset; from < content.length; from += size)
        yield content.subarray(from, Math.min(from + size, content.length));
    },
  };
}

function sha256(content: Uint8Array): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(new Bun.CryptoHasher("sha256").update(content).digest());
}

const offsets = [0, 1, 65_535, 65_536, 65_537, 150_000, 200_000];

/** Throws unless a source goes on where it was counted, and only when the 64 KiB before that are what they were. */
async function checkReadOn({ createTail, readOn, tailStart }: typeof tails): Promise<void> {
  const rest = async (
    content: Uint8Array,
    offset: number,
    tailHash: Uint8Array | undefined,
    size: number,
  ): Promise<Buffer> => {
    const chunks: Uint8Array[] = [];
    const tail = createTail(tailStart(offset));
    const position = tailHash === undefined ? { offset } : { offset, tailHash };
    for await (const chunk of readOn(sourceOf(content, size), position, tail)) chunks.push(chunk);
    for (const end of [offset, content.length]) {
      expect(tail.hashAt(end)).toEqual(sha256(content.subarray(Math.max(0, end - 65_536), end)));
    }
    return Buffer.concat(chunks);
  };
  for (const size of [1000, 70_000]) {
    for (const offset of offsets) {
      const before = Math.max(0, offset - 65_536);
      const tailHash = sha256(bytes.subarray(before, offset));
      for (const known of [tailHash, undefined]) {
        expect((await rest(bytes, offset, known, size)).equals(bytes.subarray(offset))).toBe(true);
      }
      if (offset === 0) continue;
      for (const place of [before, offset - 1]) {
        const other = Uint8Array.from(bytes, (byte, index) => (index === place ? byte ^ 1 : byte));
        expect(rest(other, offset, tailHash, size)).rejects.toBeInstanceOf(OtherSourceError);
      }
      expect(rest(bytes.subarray(0, offset - 1), offset, undefined, size)).rejects.toBeInstanceOf(OtherSourceError);
    }
  }
}

describe("a source that goes on", () => {
  test("has the bytes before there that it had", () => checkReadOn(tails));

  test.each([
    ["other bytes", "(own === undefined || !Buffer.from(own).equals(tailHash))", "false"],
    ["missing bytes", "if (position < offset) throw", "if (false) throw"],
    ["where it was", "const start = Math.max(0, offset - position);", "const start = 0;"],
    ["the end of the bytes", "bytes.subarray(Math.max(0, from - first), Math.max(0, offset - first))", "bytes"],
  ])("is noticed to be blind to %s", async (_, from, to) => {
    const mutant = await importMutant<typeof tails>(join(import.meta.dir, "tail.ts"), from, to);
    await caught(() => checkReadOn(mutant));
  });

  test("is known no more where its bytes are too far back to be kept", () => {
    const tail = tails.createTail(0);
    for (let mebibyte = 0; mebibyte < 20; mebibyte += 1) tail.push(new Uint8Array(1 << 20));
    expect(tail.hashAt(1 << 20)).toBeUndefined();
    expect(tail.hashAt(20 << 20)).toEqual(expect.any(Uint8Array));
    expect(tail.hashAt((20 << 20) + 1)).toBeUndefined();
  });
});
