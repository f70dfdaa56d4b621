import type { EventRecord } from "./event-record.ts";

/**
 * How new a state of an aggregate is. Compared by the epoch of its owner's store, which a restore raises, then by the version. In SQL
 * this is a comparison of rows: `(kept.epoch, kept.version) < (excluded.epoch, excluded.version)`.
 */
export interface EventVersion<V extends bigint | number = bigint> {
  readonly epoch: number;
  readonly version: V;
}

/** The version that an event tells of: the record has the epoch, its message the `aggregate_version`. */
export function eventVersion(
  { record }: { readonly record: Pick<EventRecord, "epoch"> },
  version: bigint,
): EventVersion {
  return { epoch: record.epoch, version };
}

/** Whether a version is newer than another. */
export function isNewer<V extends bigint | number>(one: EventVersion<V>, than: EventVersion<V>): boolean {
  return one.epoch === than.epoch ? one.version > than.version : one.epoch > than.epoch;
}
