import type { Clock } from "../../../platform/clock/clock.ts";
import { impatient } from "../impatient.ts";
import type { InfoCacheStore } from "./store.ts";

/** The cache Redis as one can do without: what it does not answer in time rejects. */
export interface SharedCache extends Pick<InfoCacheStore, "read" | "keepNewest"> {
  /** Empties it for all. Where it is away it is not read until it could be emptied, which is tried again beside each read. Never rejects. */
  forgetAll(): Promise<void>;
}

/** Asks `store`, for at most `timeoutMs`. */
export function createSharedCache(
  store: InfoCacheStore,
  options: { readonly clock: Pick<Clock, "monotonic" | "sleep">; readonly timeoutMs: number },
): SharedCache {
  const read = impatient((countIds: readonly string[]) => store.read(countIds), options);
  const empty = impatient(() => store.empty(), options);
  /** How often everything was to be forgotten, and up to which time it was emptied. */
  let forgotten = 0;
  let emptied = 0;
  const catchUp = async (): Promise<void> => {
    const upTo = forgotten;
    await empty().then(
      () => void (emptied = Math.max(emptied, upTo)),
      () => undefined, // Tried again with the next read.
    );
  };
  return {
    read: async (countIds) => {
      const isDoubtful = emptied < forgotten;
      if (!isDoubtful) return read(countIds);
      void catchUp();
      throw new Error("the cache could not be emptied yet");
    },
    keepNewest: impatient((infos, forMs) => store.keepNewest(infos, forMs), options),
    forgetAll: () => {
      forgotten += 1;
      return catchUp();
    },
  };
}
