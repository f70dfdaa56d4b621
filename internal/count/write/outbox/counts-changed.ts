import { WireWriter } from "../../shared/wire-writer.ts";
import type { OutboxEntry } from "./store-redis.ts";

/** Bytes of a change beside those of its texts, at most. */
const changeBytesMax = 80;
/** Ends each request id. */
const separator = 0x0a;
/** "a" and "A", "0". */
const add = 0x61;
const addWithRequestId = 0x41;
const applied = 0x30;

const writer = new WireWriter();

/**
 * The CountsChanged of an entry in protobuf binary, from what is packed in it (`packed-writes.ts`): six times as fast as by message
 * objects, on a path that every write takes. A test holds it to the generated code. Throws for an entry that nobody can read.
 */
export function encodeCountsChanged(
  shard: string,
  { asked, requested, reply }: Pick<OutboxEntry, "asked" | "requested" | "reply">,
): Uint8Array<ArrayBuffer> {
  const writes = asked.readUInt16LE(0);
  const ids = asked.readUInt16LE(2);
  const placesAt = 4 + writes;
  const operandsAt = placesAt + (ids < writes ? 2 * writes : 0);
  const idsAt = findTexts(asked, operandsAt + 8 * writes, ids);
  const codes = reply.readUInt16LE(8);
  const numbersAt = 14 + codes;
  let beforeAt = numbersAt + 16 * writes;
  let requestAt = 0;
  const timeMs = reply.readDoubleLE(0);
  writer.reset();
  writer.reserve(changeBytesMax + shard.length);
  writer.byte(0x0a); // 1: shard
  writer.ascii(shard);
  for (let write = 0; write < writes; write += 1) {
    let requestEnd = requestAt;
    while (requestEnd < requested.length && requested[requestEnd] !== separator) requestEnd += 1;
    if (codes === 0 || reply[14 + write] === applied) {
      const value = reply.readDoubleLE(numbersAt + 16 * write);
      const idAt = idsAt[ids < writes ? asked.readUInt16LE(placesAt + 2 * write) - 1 : write];
      if (idAt === undefined) throw new Error(`write ${write} is of no Count`);
      const idEnd = idAt + 1 + asked[idAt]!;
      writer.reserve(changeBytesMax + idEnd - idAt + requestEnd - requestAt);
      writer.byte(0x12); // 2: changes
      const change = writer.open();
      writer.byte(0x0a); // 1: count_id
      writer.part(asked, idAt + 1, idEnd);
      const kind = asked[4 + write];
      if (kind === add || kind === addWithRequestId) {
        const operand = asked.readDoubleLE(operandsAt + 8 * write);
        if (operand !== 0) {
          writer.byte(0x10); // 2: delta
          writer.int64(operand);
        }
      } else {
        const before = reply.readDoubleLE(beforeAt);
        beforeAt += 8;
        if (value !== before) {
          writer.byte(0x10);
          writer.difference(value, before);
        }
      }
      if (value !== 0) {
        writer.byte(0x18); // 3: value
        writer.int64(value);
      }
      writer.byte(0x20); // 4: revision
      writer.int64(reply.readDoubleLE(numbersAt + 16 * write + 8));
      if (requestEnd > requestAt) {
        writer.byte(0x2a); // 5: request_id
        writer.part(requested, requestAt, requestEnd);
      }
      writer.byte(0x32); // 6: time
      writer.timestamp(timeMs);
      writer.close(change);
    }
    requestAt = requestEnd + 1;
  }
  return writer.finish();
}

/** Where each of so many texts, each behind its length in a byte, begins. */
function findTexts(bytes: Buffer, from: number, texts: number): readonly number[] {
  const starts: number[] = [];
  let at = from;
  for (let text = 0; text < texts; text += 1) {
    starts.push(at);
    at += 1 + bytes.readUInt8(at);
  }
  if (at > bytes.length) throw new Error("its last text is cut off");
  return starts;
}
