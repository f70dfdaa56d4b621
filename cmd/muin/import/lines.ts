/** A line longer than this many bytes is a bad line: what bounds the memory of an import. */
export const lineBytesMax = 1 << 20;

const newline = 0x0a;
const carriageReturn = 0x0d;

/** A line of a byte stream. */
export interface Line {
  /** The line as UTF-8 without its end; `undefined` when it is longer than the bound. */
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

/** Lines of a stream that begins at `offset` of its file. Ends are LF or CR LF. Invalid UTF-8 becomes U+FFFD. */
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
  const length = bytes.at(-1) === carriageReturn ? bytes.length - 1 : bytes.length;
  return Buffer.from(bytes.buffer, bytes.byteOffset, length).toString("utf8");
}
