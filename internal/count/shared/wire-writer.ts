const firstBytes = 4096;
const twoTo32 = 2 ** 32;

/**
 * Writes protobuf binary, where message objects would cost more than the rest of a write: numbers as they are, text as its bytes.
 * `reserve` makes room; what is written after it must fit. One writer is used over and over.
 * Format: https://protobuf.dev/programming-guides/encoding/
 */
export class WireWriter {
  #bytes = new Uint8Array(firstBytes);
  #end = 0;

  /** Begins anew. */
  reset(): void {
    this.#end = 0;
  }

  /** Makes room for so many bytes. */
  reserve(bytes: number): void {
    const needed = this.#end + bytes;
    if (needed <= this.#bytes.length) return;
    const larger = new Uint8Array(Math.max(needed, 2 * this.#bytes.length));
    larger.set(this.#bytes.subarray(0, this.#end));
    this.#bytes = larger;
  }

  /** One byte, such as the tag of a field up to 15, or a bool. */
  byte(value: number): void {
    this.#bytes[this.#end++] = value;
  }

  /** An int64 within +-(2^53 - 1), at most 10 bytes. Throws for a number that is none. */
  int64(value: number): void {
    if (!Number.isSafeInteger(value)) throw new RangeError(`${value} is no whole number within +-(2^53 - 1)`);
    this.#varint(value >>> 0, Math.floor(value / twoTo32) >>> 0);
  }

  /** `value - before` as an int64, each as above: their difference may be no exact number. */
  difference(value: number, before: number): void {
    if (!Number.isSafeInteger(value) || !Number.isSafeInteger(before)) {
      throw new RangeError(`${value} or ${before} is no whole number within +-(2^53 - 1)`);
    }
    const low = (value >>> 0) - (before >>> 0);
    const high = Math.floor(value / twoTo32) - Math.floor(before / twoTo32) - (low < 0 ? 1 : 0);
    this.#varint(low >>> 0, high >>> 0);
  }

  /** A Timestamp of milliseconds since the Unix epoch, with its length before it: at most 18 bytes. */
  timestamp(ms: number): void {
    const opened = this.open();
    const seconds = Math.floor(ms / 1000);
    const nanos = (ms - 1000 * seconds) * 1_000_000;
    if (seconds !== 0) {
      this.byte(0x08); // 1: seconds
      this.int64(seconds);
    }
    if (nanos !== 0) {
      this.byte(0x10); // 2: nanos
      this.int64(nanos);
    }
    this.close(opened);
  }

  /** Text with its length before it: three bytes more at most, for texts below 2 MiB. Throws for text that is not ASCII. */
  ascii(text: string): void {
    const { length } = text;
    this.#varint(length, 0);
    const bytes = this.#bytes;
    let end = this.#end;
    let bits = 0;
    for (let at = 0; at < length; at += 1) {
      const unit = text.charCodeAt(at);
      bits |= unit;
      bytes[end++] = unit;
    }
    if (bits > 0x7f) throw new RangeError("the text is not ASCII");
    this.#end = end;
  }

  /** A part of other bytes, with its length before it. */
  part(bytes: Uint8Array, from: number, to: number): void {
    this.#varint(to - from, 0);
    const own = this.#bytes;
    let end = this.#end;
    for (let at = from; at < to; at += 1) own[end++] = bytes[at]!;
    this.#end = end;
  }

  /** Begins a message within one, or what else stands behind its length. Answers what `close` needs. */
  open(): number {
    this.#end += 1;
    return this.#end;
  }

  /** Ends what `open` began: room for four bytes must be left. */
  close(opened: number): void {
    const length = this.#end - opened;
    if (length < 0x80) {
      this.#bytes[opened - 1] = length;
      return;
    }
    const lengthBytes = length < 0x4000 ? 2 : length < 0x20_0000 ? 3 : 4;
    this.#bytes.copyWithin(opened + lengthBytes - 1, opened, this.#end);
    this.#end = opened - 1;
    this.#varint(length, 0);
    this.#end += length;
  }

  /** A copy of all that was written. */
  finish(): Uint8Array<ArrayBuffer> {
    return this.#bytes.slice(0, this.#end);
  }

  /** 64 bits: both halves unsigned. */
  #varint(low: number, high: number): void {
    const bytes = this.#bytes;
    let end = this.#end;
    while (high !== 0 || low > 0x7f) {
      bytes[end++] = (low & 0x7f) | 0x80;
      low = ((low >>> 7) | (high << 25)) >>> 0;
      high >>>= 7;
    }
    bytes[end++] = low;
    this.#end = end;
  }
}
