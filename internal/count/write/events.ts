import { CountsChangedSchema } from "../../gen/muin/count/v1/count_value_events_pb.ts";
import type { EventRecord } from "../../platform/service/event-record.ts";
import { topicOf } from "../../platform/events/topics.ts";
import type { CountStoreLayout } from "../shared/count-store.ts";
import { encodeCountsChanged } from "./outbox/counts-changed.ts";
import type { OutboxEntry } from "./outbox/store-redis.ts";

/** CloudEvents source of every change of a value. */
const source = "/muin/count-write";
/** Topic of the changes. */
export const topic: string = topicOf(CountsChangedSchema);

/** The event of an entry: the same entry makes the same event, with the same id, whenever and by whomever it is made. */
export function recordOf(
  { storeId, generation }: Pick<CountStoreLayout, "storeId" | "generation">,
  entry: OutboxEntry,
): EventRecord {
  const shard = entry.shard.toString();
  return {
    id: eventId(storeId, shard, entry.id),
    source,
    type: CountsChangedSchema.typeName,
    subject: shard,
    topic,
    timeMs: entry.reply.readDoubleLE(0),
    epoch: generation,
    traceparent: "",
    data: encodeCountsChanged(shard, entry),
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
