import type { EventRecord } from "./event-bus.ts";

/** Everything that the bus keeps in its Redis, so that one ACL pattern covers it. */
const keyPrefix = "events:";

/** Names of the bus' keys. */
export const keys = {
  /** Hash: what holds for the whole store. */
  meta: `${keyPrefix}meta`,
  /** Set: "service topic" of every group that ever consumed. */
  groups: `${keyPrefix}groups`,
  /** Hash: number, holder and end of a lease. */
  lease: (name: string): string => `${keyPrefix}lease:${name}`,
  /** Hash: per partition, records ever added ("a0") and removed ("r0"). */
  topic: (topic: string): string => `${keyPrefix}topic:${topic}`,
  /** Stream: a partition's records. */
  stream: (topic: string, partition: number): string => `${keyPrefix}stream:${topic}:${partition}`,
  /**
   * Hash of a group: generation, and per partition position ("i0" stream id, "o0" ordinal), lost ("l0") and a number that
   * grows with each redrive ("d0").
   */
  group: (service: string, topic: string): string => `${keyPrefix}group:${service}:${topic}`,
  /** Sorted set: live instances of a group. */
  members: (service: string, topic: string): string => `${keyPrefix}members:${service}:${topic}`,
  /** Stream: a group's dead letters of a partition, in the order in which they were parked. */
  parked: (service: string, topic: string, partition: number): string =>
    `${keyPrefix}parked:${service}:${topic}:${partition}`,
  /** Hash beside the dead letters: per subject how many ("c…") and the last one's ordinal ("o…"); per id a later failure ("f…"). */
  parkedKeys: (service: string, topic: string, partition: number): string =>
    `${keyPrefix}parked-keys:${service}:${topic}:${partition}`,
  /** Set: subjects whose dead letters are handed back. */
  redriven: (service: string, topic: string, partition: number): string =>
    `${keyPrefix}redriven:${service}:${topic}:${partition}`,
};

/** The partition of a subject: CRC-32 of its UTF-8 bytes, modulo the number of partitions. */
export function partitionOf(subject: string, partitions: number): number {
  return Bun.hash.crc32(subject) % partitions;
}

/** Values of a record's fields in a stream entry, in the order of `recordFields`: CloudEvents attributes and the message. */
export function recordValues(record: EventRecord): (string | number | Uint8Array)[] {
  return [record.id, record.source, record.type, record.subject, record.timeMs, record.traceparent, record.data];
}

/** Field names of a stream entry. */
export const recordFields = ["id", "source", "type", "subject", "time", "traceparent", "data"] as const;

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
    traceparent: text("traceparent"),
    // A copy: the driver's buffer is a piece of a much larger one, which it would keep alive.
    data: new Uint8Array(fields.get("data") ?? new ArrayBuffer()),
  };
}
