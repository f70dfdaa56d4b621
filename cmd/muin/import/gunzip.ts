import { constants, crc32, createInflateRaw } from "node:zlib";
import { DamagedSourceError, SourceError } from "./source-error.ts";

/** First bytes of a gzip member: its magic number, and the only method that there is. */
const memberMagic: readonly number[] = [0x1f, 0x8b, 0x08];

/** Flags of a member's header. */
const headerFlags = { checksum: 0x02, extra: 0x04, name: 0x08, comment: 0x10 };

/** Fixed parts of a member, in bytes. */
const headerBytes = 10;
const trailerBytes = 8;

/** Whether these bytes begin a gzip file. */
export function isGzip(first: Uint8Array): boolean {
  return first[0] === memberMagic[0] && first[1] === memberMagic[1];
}

/**
 * The data of a gzip file (RFC 1952) of one or more members. Zeros between and behind them are padding; `onTrailing` is called when
 * other bytes follow, which are no part of it. Throws `SourceError` behind the last bytes when it ends too early, and
 * `DamagedSourceError` when its data or their checksum are not right: what came since the member's beginning may then be wrong.
 */
export async function* gunzip(
  input: AsyncIterable<Uint8Array>,
  onTrailing: () => void,
): AsyncGenerator<Uint8Array, void, void> {
  const reader = createReader(input);
  try {
    do {
      await skipHeader(reader);
      yield* inflateMember(reader);
    } while (await nextMember(reader, onTrailing));
  } finally {
    await reader.end();
  }
}

/** Reads a stream of chunks by numbers of bytes. */
interface Reader {
  /** The next chunk, whatever its length; `undefined` at the end. */
  chunk(): Promise<Uint8Array | undefined>;
  /** Puts bytes back before what comes next. */
  unread(bytes: Uint8Array): void;
  /** Exactly so many bytes; throws `SourceError` when there are fewer. */
  take(length: number): Promise<Uint8Array>;
  end(): Promise<void>;
}

function createReader(input: AsyncIterable<Uint8Array>): Reader {
  const chunks = input[Symbol.asyncIterator]();
  let waiting: Uint8Array = new Uint8Array();
  const chunk = async (): Promise<Uint8Array | undefined> => {
    if (waiting.length > 0) {
      const first = waiting;
      waiting = new Uint8Array();
      return first;
    }
    const next = await chunks.next();
    return next.done === true ? undefined : next.value;
  };
  const unread = (bytes: Uint8Array): void => {
    waiting = waiting.length === 0 ? bytes : Buffer.concat([bytes, waiting]);
  };
  return {
    chunk,
    unread,
    take: async (length) => {
      let taken: Uint8Array = new Uint8Array();
      while (taken.length < length) {
        const next = await chunk();
        if (next === undefined) throw endsTooEarly();
        taken = Buffer.concat([taken, next]);
      }
      unread(taken.subarray(length));
      return taken.subarray(0, length);
    },
    end: async () => {
      await chunks.return?.();
    },
  };
}

function endsTooEarly(): SourceError {
  return new SourceError("the gzip data ends too early: it is cut off or still being written");
}

function damaged(what: string): DamagedSourceError {
  return new DamagedSourceError(`the gzip data is damaged: ${what}`);
}

async function skipHeader(reader: Reader): Promise<void> {
  const header = await reader.take(headerBytes);
  if (!memberMagic.every((byte, index) => header[index] === byte)) throw damaged("it has no header");
  const flags = header[3] as number;
  if ((flags & headerFlags.extra) !== 0) {
    const [low, high] = (await reader.take(2)) as unknown as readonly [number, number];
    await reader.take(low + high * 256);
  }
  for (const flag of [headerFlags.name, headerFlags.comment]) {
    if ((flags & flag) === 0) continue;
    while ((await reader.take(1))[0] !== 0);
  }
  if ((flags & headerFlags.checksum) !== 0) await reader.take(2);
}

/** The data of the member whose header was read; its checksum and length are compared behind it. */
async function* inflateMember(reader: Reader): AsyncGenerator<Uint8Array, void, void> {
  // What comes before an early end is given, and the missing trailer tells.
  const inflate = createInflateRaw({ finishFlush: constants.Z_SYNC_FLUSH });
  let outputs: Uint8Array[] = [];
  const ended = new Promise<"ended" | "damaged">((resolve) => {
    inflate
      .on("data", (bytes: Uint8Array) => void outputs.push(bytes))
      .once("end", () => resolve("ended"))
      .once("error", () => resolve("damaged"));
  });
  const write = (chunk: Uint8Array): Promise<unknown> =>
    Promise.race([ended, new Promise<void>((resolve) => void inflate.write(chunk, () => resolve()))]);
  let checksum = 0;
  let length = 0;
  function* take(): Generator<Uint8Array, void, void> {
    for (const bytes of outputs) {
      checksum = crc32(bytes, checksum);
      length += bytes.length;
      yield bytes;
    }
    outputs = [];
  }
  try {
    let behind: Uint8Array = new Uint8Array();
    for (let fed = 0; behind.length === 0;) {
      const chunk = await reader.chunk();
      if (chunk === undefined) {
        inflate.end();
        break;
      }
      fed += chunk.length;
      if ((await write(chunk)) === "damaged") throw damaged("it cannot be decompressed");
      behind = chunk.subarray(chunk.length - (fed - inflate.bytesWritten));
      yield* take();
    }
    if ((await ended) === "damaged") throw damaged("it cannot be decompressed");
    yield* take();
    reader.unread(behind);
  } finally {
    inflate.destroy();
  }
  const trailer = Buffer.from(await reader.take(trailerBytes));
  if (trailer.readUInt32LE(0) !== checksum) throw damaged("its checksum is another");
  if (trailer.readUInt32LE(4) !== length % 2 ** 32) throw damaged("its length is another");
}

/** Whether another member follows; calls `onTrailing` when something else does. */
async function nextMember(reader: Reader, onTrailing: () => void): Promise<boolean> {
  let first: Uint8Array = new Uint8Array();
  for (;;) {
    const chunk = await reader.chunk();
    if (chunk === undefined) break;
    const start = first.length > 0 ? 0 : chunk.findIndex((byte) => byte !== 0);
    if (start !== -1) first = Buffer.concat([first, chunk.subarray(start)]);
    if (first.length >= memberMagic.length) break;
  }
  if (first.length === 0) return false;
  reader.unread(first);
  if (first.every((byte, index) => index >= memberMagic.length || byte === memberMagic[index])) return true;
  onTrailing();
  return false;
}
