import { afterAll, describe, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { SourceError } from "./source-error.ts";
import { openSource, openStream, type Source } from "./source.ts";

const folder = await mkdtemp(join(tmpdir(), "muin-source-"));
afterAll(() => rm(folder, { recursive: true }));

const text = Array.from({ length: 40_000 }, (_, index) => `line ${index}`).join("\n") + "\nlast";
const bytes = Buffer.from(text);

async function fileOf(name: string, content: Uint8Array): Promise<string> {
  const path = join(folder, name);
  await Bun.write(path, content);
  return path;
}

async function* chunksOf(content: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let from = 0; from < content.length; from += size) yield content.subarray(from, from + size);
}

async function rest(source: Source, offset: number): Promise<string> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of source.read(offset)) chunks.push(chunk.slice());
  return Buffer.concat(chunks).toString();
}

describe.each<[kind: string, open: (content: Uint8Array) => Promise<Source>, stream: boolean]>([
  ["file", async (content) => openSource(await fileOf("input", content)), false],
  ["stream", (content) => openStream("input", chunksOf(content, 1000)), true],
  ["stream of single bytes at first", (content) => openStream("input", chunksOf(content, 1)), true],
])("a %s", (kind, open, stream) => {
  const content = kind.includes("single") ? bytes.subarray(0, 3000) : bytes;
  const wanted = content.toString();

  test.each([false, true])("gives its bytes from any offset, compressed: %p", async (compressed) => {
    const stored = compressed ? gzipSync(content) : content;
    for (const offset of [0, 1, 2000, content.length]) {
      const source = await open(stored);
      expect(source.compressed).toBe(compressed);
      expect(content.subarray(0, source.head.length).equals(source.head)).toBe(true);
      expect(source.head.length).toBeGreaterThan(0);
      expect(source.head.length).toBeLessThanOrEqual(65_536);
      expect(source.bytesTotal).toBe(stream ? undefined : stored.length);
      expect(await rest(source, offset)).toBe(wanted.slice(offset));
      if (stream) expect(source.bytesRead()).toBe(stored.length);
    }
  });

  test("reads gzip members that follow each other as one", async () => {
    const source = await open(Buffer.concat([gzipSync(content), gzipSync("more\n")]));
    expect(await rest(source, 0)).toBe(`${wanted}more\n`);
  });

  test("gives what came before gzip data that is cut off, then says so", async () => {
    const noise = Buffer.from(Array.from({ length: 200_000 }, (_, index) => (index * 7919 * index) % 251));
    const stored = gzipSync(noise);
    const source = await open(stored.subarray(0, stored.length - 20));
    let read = 0;
    const reading = async (): Promise<void> => {
      for await (const chunk of source.read(0)) read += chunk.length;
    };
    expect(reading()).rejects.toThrow(/cut off/);
    await reading().catch(() => undefined);
    expect(read).toBeGreaterThan(0);
  });

  test("refuses an offset behind its end", async () => {
    expect(rest(await open(content), content.length + 1)).rejects.toThrow(/not the same file/);
    expect(rest(await open(gzipSync(content)), content.length + 1)).rejects.toThrow(/not the same file/);
  });

  test("knows when its head is all", async () => {
    const source = await open(Buffer.from("a,b"));
    expect([source.head.toString(), source.headIsAll]).toEqual(["a,b", true]);
    const empty = await open(Buffer.from(""));
    expect([empty.head.length, empty.headIsAll]).toEqual([0, true]);
  });

  test("names other formats and what to do", async () => {
    expect(open(Buffer.from("28b52ffd0000", "hex"))).rejects.toThrow(/zstdcat/);
    expect(open(Buffer.from("fffe61006200", "hex"))).rejects.toThrow(/UTF-16/);
  });
});

test("what is missing or a folder is named", async () => {
  expect(openSource(join(folder, "absent"))).rejects.toThrow(
    new SourceError(`there is no file ${join(folder, "absent")}`),
  );
  expect(openSource(folder)).rejects.toThrow(/is a folder/);
});
