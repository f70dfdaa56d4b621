/** Everything that the broker keeps in its Redis, so that one ACL pattern covers it. */
const keyPrefix = "events:";

/** Names of the broker's keys. */
export const keys = {
  /** Hash: what holds for the whole store. */
  meta: `${keyPrefix}meta`,
  /** Set: "service topic" of every consumer group that ever consumed. */
  groups: `${keyPrefix}groups`,
  /** Hash: number, holder and end of a lease of the broker itself, as in the coordination Redis. */
  lease: (name: string): string => `${keyPrefix}lease:${name}`,
  /** Hash: per partition, event records ever added ("a0") and removed ("r0"). */
  topic: (topic: string): string => `${keyPrefix}topic:${topic}`,
  /** Stream: a partition's event records. */
  stream: (topic: string, partition: number): string => `${keyPrefix}stream:${topic}:${partition}`,
  /**
   * Hash of a consumer group: generation, and per partition position ("i0" stream id, "o0" ordinal), lost ("l0") and a number that
   * grows with each redrive ("d0").
   */
  group: (service: string, topic: string): string => `${keyPrefix}group:${service}:${topic}`,
  /** Sorted set: live instances of a consumer group. */
  members: (service: string, topic: string): string => `${keyPrefix}members:${service}:${topic}`,
  /** Stream: a consumer group's dead letters of a partition, in the order in which they were parked. */
  parked: (service: string, topic: string, partition: number): string =>
    `${keyPrefix}parked:${service}:${topic}:${partition}`,
  /** Hash beside the dead letters: per subject how many ("c…") and the last one's ordinal ("o…"); per id a later failure ("f…"). */
  parkedKeys: (service: string, topic: string, partition: number): string =>
    `${keyPrefix}parked-keys:${service}:${topic}:${partition}`,
  /** Set: subjects whose dead letters are handed back. */
  redriven: (service: string, topic: string, partition: number): string =>
    `${keyPrefix}redriven:${service}:${topic}:${partition}`,
};

/** Name of the lease of a consumer group's reader of a partition. */
export function partitionLease(service: string, topic: string, partition: number): string {
  return `group:${service}:${topic}:${partition}`;
}

/** The partition of a subject: CRC-32 of its UTF-8 bytes, modulo the number of partitions. */
export function partitionOf(subject: string, partitions: number): number {
  return Bun.hash.crc32(subject) % partitions;
}
