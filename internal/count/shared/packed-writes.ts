/**
 * How writes are asked for, answered and kept in the outbox, in bytes that Lua's `struct` and a `DataView` take without a detour.
 * Little-endian, numbers as float64 unless another size is named.
 *
 * Asked: the number of writes and of distinct Counts (uint16 each); a byte for each write's kind ("a" add, "s" set; "A", "S" with a request
 * id); where there are fewer Counts than writes, the place of each write's Count from 1 (uint16); each write's operand; the Counts, each
 * its length (uint8) and its characters. Without places, the writes are of the Counts in their order.
 *
 * Reply: the time in milliseconds; the number of codes, of values before Sets and of times of replays (uint16 each); the codes, a
 * digit for each write, or none when all were applied; value and revision of each write; the value before each applied Set; the
 * time of each replay.
 */

/** Most writes that are packed together. */
export const packedWritesMax = 512;
/** Characters of a Count's id at most, in ASCII. */
const idBytesMax = 255;

/** `struct` format of a reply's beginning, up to its codes; for each number that follows, a "d". */
export const replyFormat = "<dHHHc0";
const replyHeadBytes = 14;

const askedBytesMax = 4 + packedWritesMax * (1 + 2 + 8 + 1 + idBytesMax);
const askedBytes = Buffer.alloc(askedBytesMax);
const askedView = new DataView(askedBytes.buffer, askedBytes.byteOffset, askedBytes.length);

/** What was asked for. */
export interface AskedWrites {
  /** Distinct Counts. */
  readonly countIds: readonly string[];
  /** Per write, the place of its Count in `countIds`, from 1. */
  readonly places: readonly number[];
  /** A letter for each write. */
  readonly kinds: string;
  readonly operands: readonly number[];
}

/** Packs what is asked for: 1 to `packedWritesMax` writes. The bytes are the caller's own. */
export function packAsked({ countIds, places, kinds, operands }: AskedWrites): Buffer {
  const writes = operands.length;
  askedView.setUint16(0, writes, true);
  askedView.setUint16(2, countIds.length, true);
  let end = 4;
  for (let write = 0; write < writes; write += 1) askedBytes[end++] = kinds.charCodeAt(write);
  if (countIds.length < writes) {
    for (const place of places) {
      askedView.setUint16(end, place, true);
      end += 2;
    }
  }
  for (const operand of operands) {
    askedView.setFloat64(end, operand, true);
    end += 8;
  }
  for (const id of countIds) {
    askedBytes[end] = id.length;
    end += 1 + askedBytes.write(id, end + 1, "latin1");
  }
  return Buffer.copyBytesFrom(askedBytes, 0, end);
}

/** Reads what `packAsked` packed. */
export function unpackAsked(asked: Buffer): AskedWrites {
  const writes = asked.readUInt16LE(0);
  const ids = asked.readUInt16LE(2);
  let at = 4 + writes;
  const kinds = asked.toString("latin1", 4, at);
  const places: number[] = [];
  for (let write = 0; write < writes; write += 1) {
    places.push(ids < writes ? asked.readUInt16LE(at + 2 * write) : write + 1);
  }
  if (ids < writes) at += 2 * writes;
  const operands: number[] = [];
  for (let write = 0; write < writes; write += 1) operands.push(asked.readDoubleLE(at + 8 * write));
  at += 8 * writes;
  const countIds: string[] = [];
  for (let id = 0; id < ids; id += 1) {
    const end = at + 1 + (asked[at] as number);
    countIds.push(asked.toString("latin1", at + 1, end));
    at = end;
  }
  return { countIds, places, kinds, operands };
}

/** A packed reply, read where it lies. */
export interface PackedReply {
  readonly timeMs: number;
  /** A digit for each write; empty when all were applied. */
  readonly codes: string;
  valueOf(write: number): number;
  revisionOf(write: number): number;
  /** The value before the Set that is the `set`-th applied one. */
  valueBefore(set: number): number;
  /** When the write was applied whose replay is the `replay`-th. */
  timeOfReplay(replay: number): number;
}

/** Reads the reply to `writes` writes. */
export function unpackReply(reply: Buffer, writes: number): PackedReply {
  const numbers = replyHeadBytes + reply.readUInt16LE(8);
  const sets = numbers + 16 * writes;
  const replays = sets + 8 * reply.readUInt16LE(10);
  return {
    timeMs: reply.readDoubleLE(0),
    codes: numbers === replyHeadBytes ? "" : reply.toString("latin1", replyHeadBytes, numbers),
    valueOf: (write) => reply.readDoubleLE(numbers + 16 * write),
    revisionOf: (write) => reply.readDoubleLE(numbers + 16 * write + 8),
    valueBefore: (set) => reply.readDoubleLE(sets + 8 * set),
    timeOfReplay: (replay) => reply.readDoubleLE(replays + 8 * replay),
  };
}
