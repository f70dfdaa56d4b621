const twoTo32 = 2 ** 32;
/** A varint has 10 bytes at most. */
const varintBytesMax = 10;

/**
 * Reads protobuf binary as usual writers write it, where message objects would cost more than the rest of a write. What is unusual, it
 * refuses: then the generated code must read the bytes from their beginning.
 * Format: https://protobuf.dev/programming-guides/encoding/
 */
export class WireReader {
  readonly #bytes: Buffer;
  #at = 0;
  /** Where the text began that it read last. */
  #textAt = 0;
  /** Where the message ends in which it reads. */
  #end: number;
  #isRefused = false;

  constructor(bytes: Uint8Array) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#end = bytes.byteLength;
  }

  /** Whether anything was unusual: then nothing that was read counts. */
  get isRefused(): boolean {
    return this.#isRefused;
  }

  /** Refuses the bytes: there is no further tag. */
  refuse(): void {
    this.#isRefused = true;
  }

  /** The next tag, field number and wire type in a byte; 0 at the end of the message, and once it refuses. */
  tag(): number {
    if (this.#at === this.#end || this.#isRefused) return 0;
    const tag = this.#bytes[this.#at++]!;
    if (tag === 0) this.#isRefused = true; // No field has it.
    return tag;
  }

  /** Goes into a message within this one. Answers what `leave` needs. */
  enter(): number {
    const outer = this.#end;
    this.#end = this.#endOfNext();
    return outer;
  }

  /** Goes on with the message around the one whose end it has reached. */
  leave(outer: number): void {
    this.#end = outer;
  }

  /** A text, whose bytes must be among the `allowed`, which are ASCII: a place for each byte, those allowed hold 1. */
  text(allowed: Uint8Array): string {
    this.pass(allowed);
    return this.#isRefused ? "" : this.#bytes.toString("latin1", this.#textAt, this.#at);
  }

  /** Passes over such a text. */
  pass(allowed: Uint8Array): void {
    const bytes = this.#bytes;
    const to = this.#endOfNext();
    this.#textAt = this.#at;
    for (let at = this.#at; at < to; at += 1) if (allowed[bytes[at]!] === 0) this.#isRefused = true;
    this.#at = to;
  }

  /** An int64. Refuses one beyond +-(2^53 - 1). */
  int64(): number {
    const first = this.#bytes[this.#at]!;
    if (first < 0x80 && this.#at < this.#end) {
      this.#at += 1;
      return first;
    }
    let low = 0;
    let high = 0;
    for (let place = 0; place < varintBytesMax && this.#at < this.#end; place += 1) {
      const byte = this.#bytes[this.#at++]!;
      if (place < 4) low |= (byte & 0x7f) << (7 * place);
      else if (place === 4) {
        low |= (byte & 0x0f) << 28;
        high = (byte & 0x7f) >> 4;
      } else high |= (byte & 0x7f) << (7 * place - 32);
      if (byte < 0x80) {
        const value = high * twoTo32 + (low >>> 0);
        if (!Number.isSafeInteger(value)) break;
        return value;
      }
    }
    this.#isRefused = true;
    return 0;
  }

  /** Where what is next ends, whose length stands before it. */
  #endOfNext(): number {
    const length = this.int64();
    const end = this.#at + length;
    if (length >= 0 && end <= this.#end) return end;
    this.#isRefused = true;
    return this.#at;
  }
}

/** The bytes of printable ASCII characters but the space, for `WireReader.text`. */
export const printable: Uint8Array = new Uint8Array(256).fill(1, 0x21, 0x7f);

/** The bytes of these ASCII characters, for `WireReader.text`. */
export function bytesOf(characters: string): Uint8Array {
  const allowed = new Uint8Array(256);
  for (const character of characters) allowed[character.charCodeAt(0)] = 1;
  return allowed;
}
