import { crc32 } from "node:zlib";

/** Before each entry in a file: its length and its CRC-32, both unsigned 32 bits, little-endian. */
const headBytes = 8;
/** No entry is longer; a length beyond is none. */
export const payloadBytesMax = 64 * 1024;

/** What a file holds. */
export interface Frames {
  readonly payloads: readonly Buffer[];
  /** Bytes up to the end of the last whole one. */
  readonly end: number;
}

/** The bytes of an entry in a file. */
export function frameOf(payload: Uint8Array): Buffer {
  if (payload.byteLength > payloadBytesMax) throw new Error("an entry is too long for its file");
  const frame = Buffer.allocUnsafe(headBytes + payload.byteLength);
  frame.writeUInt32LE(payload.byteLength, 0);
  frame.writeUInt32LE(crc32(payload), 4);
  frame.set(payload, headBytes);
  return frame;
}

/** Reads entries from the beginning of `bytes`, at most `max`, up to the first that is torn. */
export function readFrames(bytes: Buffer, max: number): Frames {
  const payloads: Buffer[] = [];
  let end = 0;
  while (payloads.length < max && end + headBytes <= bytes.byteLength) {
    const length = bytes.readUInt32LE(end);
    const from = end + headBytes;
    if (length > payloadBytesMax || from + length > bytes.byteLength) break;
    const payload = bytes.subarray(from, from + length);
    if (crc32(payload) !== bytes.readUInt32LE(end + 4)) break;
    payloads.push(payload);
    end = from + length;
  }
  return { payloads, end };
}
