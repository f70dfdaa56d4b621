import { isUtf8 } from "node:buffer";

/** A line longer than this many bytes is a bad line: what bounds the memory of an import. */
export const lineBytesMax = 1 << 20;

const newline = 0x0a;
const carriageReturn = 0x0d;

/** A byte that is no UTF-8 becomes the lone surrogate that is this and the byte. */
const surrogateOfBytes = 0xdc00;

/** A line of a byte stream. */
export interface Line {
  /** The line as `decodeText` reads it, without its end; `undefined` when it is longer than the bound. */
  readonly text: string | undefined;
  /** Offset of the first byte after the line and its end. */
  readonly end: number;
}

/** Cuts a byte stream into lines that know where they end, whatever the chunks are. */
export interface LineSplitter {
  /** The lines that end within this chunk. */
  push(chunk: Uint8Array): Generator<Line, void, void>;
  /** The last line when the stream ended without a newline. */
  rest(): Line | undefined;
}

/** Lines of a stream that begins at `offset` of its file. Ends are LF or CR LF. */
export function createLineSplitter(offset: number, bytesMax: number = lineBytesMax): LineSplitter {
  let position = offset;
  let pieces: Uint8Array[] = [];
  let pending = 0;
  let overlong = false;

  const keep = (piece: Uint8Array): void => {
    pending += piece.length;
    if (overlong || piece.length === 0) return;
    if (pending > bytesMax) {
      overlong = true;
      pieces = [];
    } else {
      pieces.push(piece);
    }
  };
  const take = (end: number): Line => {
    const bytes = pieces.length === 1 ? pieces[0] : Buffer.concat(pieces);
    const line: Line = { text: overlong ? undefined : textOf(bytes ?? new Uint8Array()), end };
    pieces = [];
    pending = 0;
    overlong = false;
    return line;
  };

  return {
    *push(chunk) {
      let from = 0;
      for (let at = chunk.indexOf(newline); at !== -1; at = chunk.indexOf(newline, from)) {
        keep(chunk.subarray(from, at));
        from = at + 1;
        yield take(position + from);
      }
      // A copy: the stream may use the chunk's memory again.
      keep(chunk.slice(from));
      position += chunk.length;
    },
    rest: () => (pending === 0 ? undefined : take(position)),
  };
}

function textOf(bytes: Uint8Array): string {
  return decodeText(bytes.at(-1) === carriageReturn ? bytes.subarray(0, -1) : bytes);
}

/**
 * Bytes as UTF-8. A byte that is none becomes a lone surrogate, U+DC80 to U+DCFF, as in PEP 383: different bytes stay different, and
 * what is not UTF-8 is not `isWellFormed()`.
 */
export function decodeText(bytes: Uint8Array): string {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  if (isUtf8(buffer)) return buffer.toString("utf8");
  const parts: string[] = [];
  for (let at = 0; at < buffer.length;) {
    const lead = buffer[at] as number;
    const character = buffer.subarray(at, at + lengthOf(lead));
    if (isUtf8(character)) {
      parts.push(character.toString("utf8"));
      at += character.length;
    } else {
      parts.push(String.fromCharCode(surrogateOfBytes + lead));
      at += 1;
    }
  }
  return parts.join("");
}

/** Bytes of the UTF-8 character that begins with `lead`; 1 when none does. */
function lengthOf(lead: number): number {
  if (lead < 0xc0) return 1;
  if (lead < 0xe0) return 2;
  return lead < 0xf0 ? 3 : 4;
}

/**
 * Whether lines end in CR alone, as far as the beginning of a file shows it: lines of a text that are counted end in LF. A CR at
 * the very end may be half of a CR LF.
 */
export function endsLinesInCr(head: Uint8Array): boolean {
  const at = head.indexOf(carriageReturn);
  return at !== -1 && at < head.length - 1 && !head.includes(newline);
}

/** Whether CR stands in a text where no quotes are around it, and neither LF nor the end behind it. */
export function holdsCr(text: string): boolean {
  return /\r(?!\n|$)/.test(text.replaceAll(/"(?:[^"]|"")*"?/g, ""));
}
