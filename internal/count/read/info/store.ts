import type { CountInfo } from "../../../gen/muin/count/v1/count_pb.ts";
import type { EventVersion } from "../../../platform/service/event-version.ts";

/** A Count's metadata at one of its versions. */
export interface VersionedInfo extends EventVersion<number> {
  readonly info: CountInfo;
}

/** CountInfoDB, as far as its owner shows it. */
export interface InfoView {
  /** Metadata in the order of the ids; `undefined` for Counts that do not exist. One statement. */
  read(countIds: readonly string[]): Promise<readonly (VersionedInfo | undefined)[]>;
}

/** Metadata in the cache Redis. */
export interface InfoCacheStore {
  /** Metadata in the order of the ids; `undefined` where nothing is cached. One round trip, and more after it was emptied. */
  read(countIds: readonly string[]): Promise<readonly (VersionedInfo | undefined)[]>;
  /** Keeps each for `lifeMs`, unless the same or a later version is there. One round trip. */
  keepNewest(infos: readonly VersionedInfo[], lifeMs: number): Promise<void>;
  /** Empties it for all who share it. */
  empty(): Promise<void>;
}
