import type { EventRecord } from "../../service/event-record.ts";
import type { StreamId } from "./stream-id.ts";

/** Values of a record's fields in a stream entry, in the order of `recordFields`: CloudEvents attributes and the message. */
export function recordValues(record: EventRecord): (string | number | Uint8Array)[] {
  const { id, source, type, subject, timeMs, epoch, traceparent, data } = record;
  return [id, source, type, subject, timeMs, epoch, traceparent, data];
}

/** Field names of a stream entry. */
export const recordFields = ["id", "source", "type", "subject", "time", "epoch", "traceparent", "data"] as const;

/** A stream entry as the server sends it: id, then names and values by turns. */
export type RawEntry = readonly [id: Buffer, fields: readonly Buffer[]];

/** Fields of an entry by name. */
export function fieldsOf([, raw]: RawEntry): ReadonlyMap<string, Buffer> {
  const fields = new Map<string, Buffer>();
  for (let index = 0; index + 1 < raw.length; index += 2) {
    fields.set((raw[index] as Buffer).toString("latin1"), raw[index + 1] as Buffer);
  }
  return fields;
}

/** The record in an entry of a topic. */
export function toRecord(topic: string, fields: ReadonlyMap<string, Buffer>): EventRecord {
  const text = (name: (typeof recordFields)[number]): string => fields.get(name)?.toString() ?? "";
  return {
    topic,
    id: text("id"),
    source: text("source"),
    type: text("type"),
    subject: text("subject"),
    timeMs: Number(text("time")),
    epoch: Number(text("epoch")), // An entry of an older version has none: 0.
    traceparent: text("traceparent"),
    // A copy: the driver's buffer is a piece of a much larger one, which it would keep alive.
    data: new Uint8Array(fields.get("data") ?? new ArrayBuffer()),
  };
}

/** An event at its place in a partition. */
export interface PlacedEvent {
  readonly id: StreamId;
  /** How many events were ever stored in the partition up to this one. */
  readonly ordinal: number;
  readonly record: EventRecord;
}

/** The events of entries that follow one another, of which the first has the given ordinal. */
export function placeEntries(topic: string, entries: readonly RawEntry[], first: number): readonly PlacedEvent[] {
  return entries.map((entry, index) => ({
    id: entry[0].toString(),
    ordinal: first + index,
    record: toRecord(topic, fieldsOf(entry)),
  }));
}
