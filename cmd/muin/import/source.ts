import { createReadStream } from "node:fs";
import { open, stat } from "node:fs/promises";
import { gunzip, isGzip } from "./gunzip.ts";
import { DamagedSourceError, OtherSourceError, SourceError } from "./source-error.ts";

/** Bytes at the beginning that name a file and tell its format. */
export const headBytesMax = 64 * 1024;

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
  /** What is odd about it and keeps nothing from being counted, as far as it was read; a sentence each. */
  warnings(): readonly string[];
  /**
   * Reads a compressed file whole, before anything of it is counted. Throws `SourceError` when it is damaged
   * or nothing of it can be read; ends early when the signal is aborted. Of a stream only the head is known.
   */
  verify(signal: AbortSignal): Promise<void>;
  /** The bytes from `offset` on. May be called once. Throws `SourceError` behind the last good bytes. */
  read(offset: number): AsyncGenerator<Uint8Array, void, void>;
}

/** Opens a file. What is not a regular file, a pipe for one, is read as a stream. */
export async function openSource(path: string): Promise<Source> {
  const size = await sizeOf(path);
  if (size === undefined) return openStream(path, createReadStream(path));
  const compressed = isCompressed(await firstBytes(path), path);
  let read = 0;
  let trailing = false;
  const bytes = (start: number): AsyncGenerator<Uint8Array, void, void> => {
    read = start;
    return counted(createReadStream(path, { start }), (count) => (read += count));
  };
  const decoded = (): AsyncGenerator<Uint8Array, void, void> =>
    compressed ? gunzip(bytes(0), () => (trailing = true)) : bytes(0);
  const first = decoded();
  const { head, ended, error } = await headOf(first, () => false);
  await first.return();
  return {
    name: path,
    compressed,
    head,
    headIsAll: ended,
    bytesTotal: size,
    bytesRead: () => read,
    warnings: () => (trailing ? [trailingBytes(path)] : []),
    verify: async (signal) => {
      if (head.length === 0 && error !== undefined) throw notCounted(path, error);
      if (compressed) await readWhole(path, decoded(), signal);
    },
    read: (offset) => {
      if (compressed) return skip(decoded(), offset, path);
      if (offset > size) throw shorter(path, size, offset);
      return bytes(offset);
    },
  };
}

/** Opens a stream that can be read once, such as standard input. */
export async function openStream(name: string, input: AsyncIterable<Uint8Array>): Promise<Source> {
  let read = 0;
  let trailing = false;
  const raw = counted(input, (count) => (read += count));
  const first = await headOf(raw, (head) => head.length >= magicLength);
  const compressed = isCompressed(first.head, name);
  const whole = chain(first.chunks, raw, first.error);
  const decoded = compressed ? gunzip(whole, () => (trailing = true)) : whole;
  const { head, chunks, ended, error } = await headOf(decoded, (bytes) => bytes.includes(0x0a));
  return {
    name,
    compressed,
    head,
    headIsAll: ended,
    bytesTotal: undefined,
    bytesRead: () => read,
    warnings: () => (trailing ? [trailingBytes(name)] : []),
    verify: () =>
      error instanceof DamagedSourceError || (head.length === 0 && error !== undefined)
        ? Promise.reject(notCounted(name, error))
        : Promise.resolve(),
    read: (offset) => skip(chain(chunks, decoded, error), offset, name),
  };
}

function trailingBytes(name: string): string {
  return `${name} has bytes behind the end of its gzip data, which are not counted`;
}

function notCounted(name: string, error: SourceError): SourceError {
  return new SourceError(`${name} is not counted: ${error.message}`, { cause: error });
}

/** Reads all there is, to see whether it is damaged: an early end is told when it is counted. */
async function readWhole(
  name: string,
  input: AsyncGenerator<Uint8Array, void, void>,
  signal: AbortSignal,
): Promise<void> {
  try {
    for await (const _ of input) if (signal.aborted) return;
  } catch (error) {
    if (error instanceof DamagedSourceError) throw notCounted(name, error);
    if (!(error instanceof SourceError)) throw error;
  }
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

function isCompressed(first: Uint8Array, name: string): boolean {
  const other = unreadable.find(({ magic }) => magic.every((byte, index) => first[index] === byte));
  if (other !== undefined) throw new SourceError(`${name} is ${other.hint(name)}`);
  return isGzip(first);
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

/** Takes chunks until `enough` or 64 KiB, or until a `SourceError`. */
async function headOf(
  input: AsyncGenerator<Uint8Array, void, void>,
  enough: (head: Uint8Array) => boolean,
): Promise<{
  readonly head: Uint8Array;
  readonly chunks: readonly Uint8Array[];
  readonly ended: boolean;
  /** What kept more from being read. */
  readonly error: SourceError | undefined;
}> {
  const chunks: Uint8Array[] = [];
  let head: Uint8Array = new Uint8Array();
  let ended = false;
  let broken: SourceError | undefined;
  while (head.length < headBytesMax && !(head.length > 0 && enough(head))) {
    const next = await input.next().catch((error: unknown) => {
      if (!(error instanceof SourceError)) throw error;
      broken = error;
      return undefined;
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
  return { head: head.subarray(0, headBytesMax), chunks, ended, error: broken };
}

/** Chunks, and what follows them: an error, when it came then. */
async function* chain(
  first: readonly Uint8Array[],
  rest: AsyncIterable<Uint8Array>,
  error: SourceError | undefined,
): AsyncGenerator<Uint8Array, void, void> {
  yield* first;
  if (error !== undefined) throw error;
  yield* rest;
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

/** What has fewer bytes than were counted of it. */
export function shorter(name: string, size: number, offset: number): OtherSourceError {
  return new OtherSourceError(
    `${name} has ${size} bytes, but ${offset} were counted before: it is not the same file or was cut; --restart counts it anew`,
  );
}
