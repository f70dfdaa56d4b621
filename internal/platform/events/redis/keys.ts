/** Everything that the broker keeps in its Redis, so that one ACL pattern covers it. */
const keyPrefix = "events:";

/** Names of the broker's keys. */
export const keys = {
  /** Hash: what earlier versions kept of the whole store, the number of partitions. Only read. */
  meta: `${keyPrefix}meta`,
  /** Set: topics that a service ever consumed as a group. */
  groups: (service: string): string => `${keyPrefix}groups:${service}`,
  /** Hash: number, holder and end of a lease of the broker itself, as in the coordination Redis. */
  lease: (name: string): string => `${keyPrefix}lease:${name}`,
  /** Hash: the number of partitions, and of each the event records ever added ("a0") and removed ("r0"). Its writers write it. */
  topic: (topic: string): string => `${keyPrefix}topic:${topic}`,
  /** Stream: a partition's event records. */
  stream: (topic: string, partition: number): string => `${keyPrefix}stream:${topic}:${partition}`,
  /**
   * Hash of a consumer group: generation, and per partition position ("i0" stream id, "o0" ordinal), since when it is lost, in
   * milliseconds ("l0"), and a number that grows with each redrive ("d0"); since when it was lost the last time ("since").
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

/** Patterns of keys, for ACL rules. */
export const keyPatterns = {
  /** What every process reads. */
  common: [keys.meta],
  /** Everything of a topic that who publishes on it writes: its event records, and the lease of who removes old ones. */
  written: (topic: string): readonly string[] => [
    keys.topic(topic),
    `${keyPrefix}stream:${topic}:*`,
    keys.lease(retentionLease(topic)),
  ],
  /** What who consumes a topic reads. */
  read: (topic: string): readonly string[] => [keys.topic(topic), `${keyPrefix}stream:${topic}:*`],
  /** What the consumer groups of a service write. */
  consumed: (service: string): readonly string[] => [
    keys.groups(service),
    ...["group", "members", "parked", "parked-keys", "redriven", "lease:group"].map(
      (kind) => `${keyPrefix}${kind}:${service}:*`,
    ),
  ],
};

/** Name of the lease of who removes a topic's old event records. */
export function retentionLease(topic: string): string {
  return `retention:${topic}`;
}

/** Name of the lease of a consumer group's reader of a partition. */
export function partitionLease(service: string, topic: string, partition: number): string {
  return `group:${service}:${topic}:${partition}`;
}

/** The partition of a subject: CRC-32 of its UTF-8 bytes, modulo the number of partitions. */
export function partitionOf(subject: string, partitions: number): number {
  return Bun.hash.crc32(subject) % partitions;
}
