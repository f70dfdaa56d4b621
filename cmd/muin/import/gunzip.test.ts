import { describe, expect, test } from "bun:test";
import { gzipSync } from "node:zlib";
import { gunzip } from "./gunzip.ts";

async function* chunksOf(data: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let from = 0; from < data.length; from += size) yield data.subarray(from, from + size);
}

/** What is read of gzip data that comes in chunks of this size, how often something followed it, and how it failed. */
async function read(data: Uint8Array, size: number): Promise<readonly [text: string, trailing: number, error: string]> {
  const pieces: Uint8Array[] = [];
  let trailing = 0;
  let error = "";
  try {
    for await (const piece of gunzip(chunksOf(data, size), () => (trailing += 1))) pieces.push(piece);
  } catch (thrown) {
    error = String(thrown);
  }
  return [Buffer.concat(pieces).toString("latin1"), trailing, error];
}

const text = "192.0.2.7 a line of text\n".repeat(2);
const member = gzipSync(text);
/** A member whose header has all optional fields. */
const adorned = Buffer.concat([
  Buffer.from([0x1f, 0x8b, 8, 0x1e, 0, 0, 0, 0, 0, 3]),
  Buffer.from([3, 0]),
  Buffer.from("abc"),
  Buffer.from("name\0comment\0"),
  Buffer.from([1, 2]),
  member.subarray(10),
]);

describe.each([1, 2, 7, 1 << 16])("gzip data in chunks of %p bytes", (size) => {
  test.each<[what: string, data: Uint8Array, wanted: readonly [string, number, string]]>([
    ["one member", member, [text, 0, ""]],
    [
      "members, also empty ones and ones with names",
      Buffer.concat([gzipSync(""), adorned, member]),
      [text + text, 0, ""],
    ],
    [
      "zeros between and behind",
      Buffer.concat([member, Buffer.alloc(9), member, Buffer.alloc(70)]),
      [text + text, 0, ""],
    ],
    ["other bytes behind", Buffer.concat([member, Buffer.from("other")]), [text, 1, ""]],
    ["one other byte behind", Buffer.concat([member, Buffer.from("o")]), [text, 1, ""]],
    ["nothing behind its header", member.subarray(0, 10), ["", 0, endsTooEarly()]],
    ["no trailer", member.subarray(0, -8), [text, 0, endsTooEarly()]],
    ["a part of a second member", Buffer.concat([member, member.subarray(0, -3)]), [text + text, 0, endsTooEarly()]],
  ])("%s", async (_, data, wanted) => {
    expect(await read(data, size)).toEqual(wanted);
  });

  test("with a byte that is another is never taken for whole, unless the byte says nothing of its data", async () => {
    for (let at = 0; at < member.length; at++) {
      const [read1, , error] = await read(
        Uint8Array.from(member, (byte, place) => (place === at ? byte ^ 0x55 : byte)),
        size,
      );
      // Time, compression and system of the header.
      if (at >= 4 && at <= 9) expect([at, read1, error]).toEqual([at, text, ""]);
      else
        expect([at, error]).toEqual([
          at,
          expect.stringMatching(/SourceError: the gzip data (is damaged|ends too early): /),
        ]);
    }
  });
});

function endsTooEarly(): string {
  return "SourceError: the gzip data ends too early: it is cut off or still being written";
}
