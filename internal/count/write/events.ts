import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { CountsChangedSchema } from "../../gen/muin/count/v1/count_value_events_pb.ts";
import type { EventRecord } from "../../platform/service/event-record.ts";
import { topicOf } from "../../platform/events/topics.ts";
import type { CountStoreLayout } from "../shared/count-store.ts";
import type { OutboxEntry } from "./outbox/store-redis.ts";
import { decodeOutboxEntry, type OutboxChange } from "./write/batch.ts";

/** CloudEvents source of every change of a value. */
const source = "/muin/count-write";
/** Topic of the changes. */
export const topic: string = topicOf(CountsChangedSchema);

/** The event of an entry: the same entry makes the same event, with the same id, whenever and by whomever it is made. */
export function recordOf(
  { storeId, generation }: Pick<CountStoreLayout, "storeId" | "generation">,
  entry: OutboxEntry,
): EventRecord {
  const { timeMs, changes } = decodeOutboxEntry(entry.asked, entry.requested, entry.reply);
  const shard = entry.shard.toString();
  return {
    id: eventId(storeId, shard, entry.id),
    source,
    type: CountsChangedSchema.typeName,
    subject: shard,
    topic,
    timeMs,
    epoch: generation,
    traceparent: "",
    data: encodeCountsChanged(shard, timeMs, changes),
  };
}

/**
 * Id of the event of an entry: UUIDv8 (RFC 9562): SHA-256 of store, shard and entry, each ended by a zero byte, with version and
 * variant put in.
 */
export function eventId(storeId: string, shard: string, entryId: string): string {
  const hash = new Uint8Array(Bun.SHA256.hash(`${storeId}\0${shard}\0${entryId}\0`).buffer, 0, 16);
  hash[6] = ((hash[6] as number) & 0x0f) | 0x80;
  hash[8] = ((hash[8] as number) & 0x3f) | 0x80;
  const hex = hash.toHex();
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

/**
 * CountsChanged in protobuf binary, written field by field: three times as fast as from message objects, on a path that sees
 * every write. A test holds it to the generated code.
 */
function encodeCountsChanged(shard: string, timeMs: number, changes: readonly OutboxChange[]): Uint8Array<ArrayBuffer> {
  const timeWriter = new BinaryWriter().tag(1, WireType.Varint).int64(Math.floor(timeMs / 1000));
  const nanos = (timeMs % 1000) * 1_000_000;
  if (nanos !== 0) timeWriter.tag(2, WireType.Varint).int32(nanos);
  const time = timeWriter.finish();
  const writer = new BinaryWriter().tag(1, WireType.LengthDelimited).string(shard);
  for (const { countId, delta, value, revision, requestId } of changes) {
    writer.tag(2, WireType.LengthDelimited).fork();
    writer.tag(1, WireType.LengthDelimited).string(countId);
    if (delta !== 0n) writer.tag(2, WireType.Varint).int64(delta);
    if (value !== 0) writer.tag(3, WireType.Varint).int64(value);
    writer.tag(4, WireType.Varint).int64(revision);
    if (requestId !== "") writer.tag(5, WireType.LengthDelimited).string(requestId);
    writer.tag(6, WireType.LengthDelimited).bytes(time);
    writer.join();
  }
  return writer.finish();
}
