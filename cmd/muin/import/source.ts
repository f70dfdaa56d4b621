import { createReadStream } from "node:fs";
import { open, stat } from "node:fs/promises";
import { pipeline, Readable } from "node:stream";
import { createGunzip } from "node:zlib";

/** Bytes at the beginning that name a file and tell its format. */
const headBytesMax = 64 * 1024;

/** Where an import's bytes come from, decompressed. */
export interface Source {
  /** As the user named it. */
  readonly name: string;
  /** Whether it came compressed: then its end is the end, and an unterminated last line counts. */
  readonly compressed: boolean;
  /** Its first bytes: of a file up to 64 KiB, of a stream what came with its first line. */
  readonly head: Uint8Array;
  /** Whether `head` is all there is. */
  readonly headIsAll: boolean;
  /** Size as stored; `undefined` for a stream. */
  readonly bytesTotal: number | undefined;
  /** Bytes read so far, as stored: to be compared with `bytesTotal`. */
  bytesRead(): number;
  /** The bytes from `offset` on. May be called once. Throws `SourceError` behind the last good bytes. */
  read(offset: number): AsyncGenerator<Uint8Array, void, void>;
}

/** Thrown when a source cannot be read, or not to its end; the message says why. */
export class SourceError extends Error {
  override readonly name = "SourceError";
}

/** Opens a file. What is not a regular file, a pipe for one, is read as a stream. */
export async function openSource(path: string): Promise<Source> {
  const size = await sizeOf(path);
  if (size === undefined) return openStream(path, createReadStream(path));
  const compressed = isGzip(await firstBytes(path), path);
  let read = 0;
  const bytes = (start: number): AsyncGenerator<Uint8Array, void, void> => {
    read = start;
    return counted(createReadStream(path, { start }), (count) => (read += count));
  };
  const { head, ended } = await headOf(compressed ? gunzip(bytes(0)) : bytes(0), () => false);
  return {
    name: path,
    compressed,
    head,
    headIsAll: ended,
    bytesTotal: size,
    bytesRead: () => read,
    read: (offset) => {
      if (compressed) return skip(gunzip(bytes(0)), offset, path);
      if (offset > size) throw shorter(path, size, offset);
      return bytes(offset);
    },
  };
}

/** Opens a stream that can be read once, such as standard input. */
export async function openStream(name: string, input: AsyncIterable<Uint8Array>): Promise<Source> {
  let read = 0;
  const raw = counted(input, (count) => (read += count));
  const first = await headOf(raw, (head) => head.length >= magicLength);
  const compressed = isGzip(first.head, name);
  const whole = chain(first.chunks, raw);
  const decoded = compressed ? gunzip(whole) : whole;
  const { head, chunks, ended } = await headOf(decoded, (bytes) => bytes.includes(0x0a));
  return {
    name,
    compressed,
    head,
    headIsAll: ended,
    bytesTotal: undefined,
    bytesRead: () => read,
    read: (offset) => skip(chain(chunks, decoded), offset, name),
  };
}

/** Size of a regular file; `undefined` for a pipe. */
async function sizeOf(path: string): Promise<number | undefined> {
  try {
    const info = await stat(path);
    if (info.isDirectory()) throw new SourceError(`${path} is a folder; name a file in it`);
    return info.isFile() ? info.size : undefined;
  } catch (error) {
    throw readable(error, path);
  }
}

async function firstBytes(path: string): Promise<Uint8Array> {
  try {
    await using file = await open(path);
    const { bytesRead, buffer } = await file.read(Buffer.alloc(magicLength), 0, magicLength, 0);
    return buffer.subarray(0, bytesRead);
  } catch (error) {
    throw readable(error, path);
  }
}

function readable(error: unknown, path: string): unknown {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  if (code === "ENOENT") return new SourceError(`there is no file ${path}`);
  if (code === "EACCES" || code === "EPERM") return new SourceError(`${path} may not be read by this user`);
  return error;
}

const magicLength = 6;

/** Other formats whose text cannot be read as it is, by their first bytes. */
const unreadable: readonly { readonly magic: readonly number[]; readonly hint: (name: string) => string }[] = [
  { magic: [0x28, 0xb5, 0x2f, 0xfd], hint: (name) => `zstd: run zstdcat ${name} and import - instead` },
  { magic: [0x42, 0x5a, 0x68], hint: (name) => `bzip2: run bzcat ${name} and import - instead` },
  { magic: [0xfd, 0x37, 0x7a, 0x58, 0x5a], hint: (name) => `xz: run xzcat ${name} and import - instead` },
  { magic: [0x50, 0x4b, 0x03, 0x04], hint: (name) => `zip: run unzip -p ${name} and import - instead` },
  { magic: [0xff, 0xfe], hint: () => "UTF-16: convert it to UTF-8, such as with iconv -f UTF-16 -t UTF-8" },
  { magic: [0xfe, 0xff], hint: () => "UTF-16: convert it to UTF-8, such as with iconv -f UTF-16 -t UTF-8" },
];

function isGzip(first: Uint8Array, name: string): boolean {
  const other = unreadable.find(({ magic }) => magic.every((byte, index) => first[index] === byte));
  if (other !== undefined) throw new SourceError(`${name} is ${other.hint(name)}`);
  return first[0] === 0x1f && first[1] === 0x8b;
}

async function* counted(
  input: AsyncIterable<Uint8Array>,
  onBytes: (count: number) => void,
): AsyncGenerator<Uint8Array, void, void> {
  for await (const chunk of input) {
    onBytes(chunk.length);
    yield chunk;
  }
}

/** Takes chunks until `enough` or 64 KiB; an error leaves what came before it, and comes again when all is read. */
async function headOf(
  input: AsyncGenerator<Uint8Array, void, void>,
  enough: (head: Uint8Array) => boolean,
): Promise<{ readonly head: Uint8Array; readonly chunks: readonly Uint8Array[]; readonly ended: boolean }> {
  const chunks: Uint8Array[] = [];
  let head: Uint8Array = new Uint8Array();
  let ended = false;
  while (head.length < headBytesMax && !(head.length > 0 && enough(head))) {
    const next = await input.next().catch((error: unknown) => {
      if (error instanceof SourceError) return undefined;
      throw error;
    });
    if (next === undefined) break;
    if (next.done === true) {
      ended = true;
      break;
    }
    chunks.push(next.value);
    head = Buffer.concat([head, next.value]);
  }
  ended &&= head.length <= headBytesMax;
  return { head: head.subarray(0, headBytesMax), chunks, ended };
}

async function* chain(
  first: readonly Uint8Array[],
  rest: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array, void, void> {
  yield* first;
  yield* rest;
}

async function* gunzip(input: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void, void> {
  const output = createGunzip();
  // Its errors come out of the iteration below.
  pipeline(Readable.from(input, { objectMode: false }), output, () => undefined);
  try {
    for await (const chunk of output) yield chunk as Uint8Array;
  } catch (error) {
    const code = error instanceof Error && "code" in error ? String(error.code) : "";
    if (code === "Z_BUF_ERROR")
      throw new SourceError("the gzip data ends too early: it is cut off or still being written");
    if (code.startsWith("Z_")) throw new SourceError("the gzip data is damaged");
    throw error;
  }
}

async function* skip(
  input: AsyncIterable<Uint8Array>,
  offset: number,
  name: string,
): AsyncGenerator<Uint8Array, void, void> {
  let position = 0;
  for await (const chunk of input) {
    const start = Math.max(0, offset - position);
    position += chunk.length;
    if (start < chunk.length) yield chunk.subarray(start);
  }
  if (position < offset) throw shorter(name, position, offset);
}

function shorter(name: string, size: number, offset: number): SourceError {
  return new SourceError(
    `${name} has ${size} bytes, but ${offset} were counted before: it is not the same file or was cut; --restart counts it anew`,
  );
}
