/** Flags and length before a message of gRPC, gRPC-Web and of streams of Connect. */
export const envelopeBytes = 5;
/** What is got ready for a body in pieces is this at the least, in bytes. */
const roomMin = 1024;
/** Small pieces are put together to so many bytes. */
const blockBytes = 16 * 1024;

/**
 * A body that comes in pieces. Put together as it comes: a sender may cut it into single bytes, and each piece that is kept costs many
 * times that. Takes up to twice its bytes.
 */
export class Pieces {
  /** The first piece itself, while it is the only one. */
  #room: Uint8Array = new Uint8Array();
  #bytes = 0;

  get byteLength(): number {
    return this.#bytes;
  }

  add(piece: Uint8Array): void {
    const bytes = this.#bytes + piece.byteLength;
    if (this.#bytes === 0) {
      this.#room = piece;
    } else {
      if (bytes > this.#room.byteLength) this.#grow(bytes);
      this.#room.set(piece, this.#bytes);
    }
    this.#bytes = bytes;
  }

  /** All that has come, until the next piece comes. */
  whole(): Uint8Array {
    return this.#room.subarray(0, this.#bytes);
  }

  /** The length of a message whose envelope begins at `at`, or `undefined` before that has come. */
  promisedAt(at: number): number | undefined {
    if (this.#bytes < at + envelopeBytes) return undefined;
    return new DataView(this.#room.buffer, this.#room.byteOffset).getUint32(at + 1);
  }

  #grow(bytes: number): void {
    const room = new Uint8Array(Math.max(roomMin, 2 * bytes));
    room.set(this.whole());
    this.#room = room;
  }
}

/**
 * The pieces of a body of envelopes, each put together until its last message is whole. One of more than `bytesMax` bytes goes on as it
 * comes, for whoever refuses it.
 */
export async function* inEnvelopes(pieces: AsyncIterable<Uint8Array>, bytesMax: number): AsyncIterable<Uint8Array> {
  let waiting = new Pieces();
  let end = 0; // Of the messages that are whole.
  for await (const piece of pieces) {
    waiting.add(piece);
    let promised = waiting.promisedAt(end);
    while (promised !== undefined && end + envelopeBytes + promised <= waiting.byteLength) {
      end += envelopeBytes + promised;
      promised = waiting.promisedAt(end);
    }
    if (promised !== undefined && promised > bytesMax) end = waiting.byteLength;
    if (end === 0) continue;
    const all = waiting.whole();
    waiting = new Pieces();
    if (end < all.byteLength) waiting.add(all.subarray(end));
    yield all.subarray(0, end);
    end = 0;
  }
  if (waiting.byteLength > 0) yield waiting.whole();
}

/**
 * The pieces of a body, small ones put together: for who reads all of it before they do anything. What makes it larger than `bytesMax` goes
 * on at once, for whoever refuses it.
 */
export async function* inBlocks(pieces: AsyncIterable<Uint8Array>, bytesMax: number): AsyncIterable<Uint8Array> {
  let waiting = new Pieces();
  let bytes = 0;
  for await (const piece of pieces) {
    waiting.add(piece);
    bytes += piece.byteLength;
    if (waiting.byteLength < blockBytes && bytes <= bytesMax) continue;
    yield waiting.whole();
    waiting = new Pieces();
  }
  if (waiting.byteLength > 0) yield waiting.whole();
}
