import { createLineSplitter, type Line, lineBytesMax } from "./lines.ts";

/** A record that spans more lines than this is not one: its first line is bad, and the next line begins a new record. */
const recordLinesMax = 1000;

/** The smallest stretch of a file that counts on its own. */
export interface FileRecord {
  /** The record without its end, and without the byte order mark of a file; `undefined` when it is longer than the bound or its quote never closes. */
  readonly text: string | undefined;
  /** Offset of the first byte after the record and its end. */
  readonly end: number;
  /** Lines that it spans, at least 1. */
  readonly lines: number;
}

/** Whether a quote is open at the end of a line, given whether one was open at its beginning. */
export type QuoteScanner = (line: string, open: boolean) => boolean;

/** Cuts a byte stream into records that know where they end. Which bytes make a record depends on the bytes alone. */
export interface RecordSplitter {
  /** The records that are complete with this chunk. */
  push(chunk: Uint8Array): Generator<FileRecord, void, void>;
  /** The records left when nothing will ever follow: an unterminated line, and lines behind a quote that never closed. */
  finish(): Generator<FileRecord, void, void>;
}

/** A file's first line as its text begins: a quote right behind the mark opens a field. */
function withoutByteOrderMark(line: Line): Line {
  return line.text?.startsWith("\uFEFF") === true ? { ...line, text: line.text.slice(1) } : line;
}

/** Records of a stream that begins at `offset` of its file, a record's beginning. Without a scanner each line is a record. */
export function createRecordSplitter(offset: number, scanQuotes?: QuoteScanner): RecordSplitter {
  const splitter = createLineSplitter(offset);
  let waiting: Line[] = [];
  let waitingChars = 0;
  let isFirst = offset === 0;

  /** Lines of which the first opens a quote that does not close: it is bad, the others begin anew. */
  function* giveUp(): Generator<FileRecord, void, void> {
    const [first, ...others] = waiting;
    waiting = [];
    waitingChars = 0;
    if (first === undefined) return;
    yield { text: undefined, end: first.end, lines: 1 };
    for (const line of others) yield* accept(line);
  }

  function* accept(read: Line): Generator<FileRecord, void, void> {
    const line = isFirst ? withoutByteOrderMark(read) : read;
    isFirst = false;
    if (scanQuotes === undefined) {
      yield { text: line.text, end: line.end, lines: 1 };
      return;
    }
    if (line.text === undefined) {
      while (waiting.length > 0) yield* giveUp();
      yield { text: undefined, end: line.end, lines: 1 };
      return;
    }
    const open = scanQuotes(line.text, waiting.length > 0);
    if (!open && waiting.length === 0) {
      yield { text: line.text, end: line.end, lines: 1 };
      return;
    }
    waiting.push(line);
    waitingChars += line.text.length + 1;
    if (!open) {
      const record = {
        text: waiting.map(({ text }) => text).join("\n"),
        end: line.end,
        lines: waiting.length,
      };
      waiting = [];
      waitingChars = 0;
      yield record;
    } else if (waiting.length > recordLinesMax || waitingChars > lineBytesMax) {
      yield* giveUp();
    }
  }

  return {
    *push(chunk) {
      for (const line of splitter.push(chunk)) yield* accept(line);
    },
    *finish() {
      const last = splitter.rest();
      if (last !== undefined) yield* accept(last);
      while (waiting.length > 0) yield* giveUp();
    },
  };
}
