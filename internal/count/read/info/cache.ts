import { createLruMap } from "../../../platform/cache/lru-map.ts";
import type { Clock } from "../../../platform/clock/clock.ts";
import { type EventVersion, isNewer } from "../../../platform/service/event-version.ts";
import { countReadErrors } from "../errors.ts";
import { gather } from "../gather.ts";
import { impatient } from "../impatient.ts";
import { createSharedCache } from "./shared-cache.ts";
import type { InfoCacheStore, InfoView, VersionedInfo } from "./store.ts";

/** CountInfoDB may take so long to answer before what is cached is used in its place, however old. */
const viewTimeoutMs = 2000;
/** What an event brought stays in the cache Redis for so many lives: longer than any fill that began before it may take. */
const announcedLives = 3;

/** Metadata as the memory of the process keeps it. */
export interface CachedInfo {
  /** Absent: there was no such Count. */
  readonly known: VersionedInfo | undefined;
  /** It was read after this moment of the monotonic clock. */
  readonly readAt: number;
  /** The highest info revision of the counts store for which CountInfoDB was asked. */
  readonly askedRevision: number;
}

/** How new metadata must be for a reader. */
export interface InfoDemand {
  /**
   * The info revision that the counts store carries, 0 where it is not known. For metadata that is older, CountInfoDB is asked
   * once: a change that was refused or is under way has a number there and no metadata.
   */
  readonly infoRevision: number;
  /** "There is no such Count" is believed when it was read after this moment of the monotonic clock. */
  readonly absentAfter: number;
}

/** Metadata of Counts: from memory, else from the cache Redis, else from CountInfoDB. */
export interface InfoCache {
  /** What memory has, when it meets the demand. */
  peek(countId: string, demand: InfoDemand): CachedInfo | undefined;
  /** Rejects with UNAVAILABLE when CountInfoDB cannot be reached and nothing is cached. */
  read(countId: string, demand: InfoDemand): Promise<CachedInfo>;
  /** The same for many, in the order of the ids: one round trip to each store that is needed. */
  readAll(countIds: readonly string[], demand: (countId: string) => InfoDemand): Promise<readonly CachedInfo[]>;
  /** An event brought this. What was read before it is discarded, also when it arrives later. */
  announce(announced: VersionedInfo): Promise<void>;
  /**
   * Empties the memory of the process and the cache Redis. Where that is away it is not asked until it could be emptied, which is tried
   * again beside the reads that miss it. Never rejects.
   */
  forgetAll(): Promise<void>;
}

/** Where metadata comes from, and bounds of time and memory. */
export interface InfoCacheDeps {
  readonly view: InfoView;
  readonly store: InfoCacheStore;
  readonly clock: Pick<Clock, "monotonic" | "sleep">;
  /** How long metadata is used before it is read again, in milliseconds. */
  readonly lifeMs: number;
  /** How long the cache Redis may take to answer, in milliseconds. */
  readonly storeTimeoutMs: number;
  /** Counts kept in memory. */
  readonly cachedMax: number;
}

/** Counts on their way into the cache, with what events have brought meanwhile. */
type Fill = Map<string, VersionedInfo>;

/** Whether what is cached is new enough. */
function meets(cached: CachedInfo, demand: InfoDemand): boolean {
  return cached.known === undefined
    ? cached.readAt >= demand.absentAfter
    : Math.max(cached.known.version, cached.askedRevision) >= demand.infoRevision;
}

/** What the process remembers. What began to be read before it was emptied is not kept. */
function createMemory(cachedMax: number, clock: Pick<Clock, "monotonic">) {
  const entries = createLruMap<CachedInfo>(cachedMax);
  let forgottenAt = Number.NEGATIVE_INFINITY;
  return {
    ...entries,
    keepRead: (countId: string, kept: CachedInfo, readAt: number): void => {
      if (readAt > forgottenAt) entries.set(countId, kept);
    },
    forgetAll: (): void => {
      forgottenAt = clock.monotonic();
      entries.clear();
    },
  };
}

/** An empty cache. */
export function createInfoCache(deps: InfoCacheDeps): InfoCache {
  const { clock, lifeMs } = deps;
  const memory = createMemory(deps.cachedMax, clock);
  const fills = new Set<Fill>();
  const readView = impatient((countIds: readonly string[]) => deps.view.read(countIds), {
    clock,
    timeoutMs: viewTimeoutMs,
  });
  const shared = createSharedCache(deps.store, { clock, timeoutMs: deps.storeTimeoutMs });

  const peek = (countId: string, demand: InfoDemand): CachedInfo | undefined => {
    const cached = memory.get(countId);
    return cached !== undefined && clock.monotonic() - cached.readAt < lifeMs && meets(cached, demand)
      ? cached
      : undefined;
  };

  /** Keeps what a fill read, unless something newer is known. */
  const settle = (countId: string, read: VersionedInfo | undefined, readAt: number, fill: Fill): CachedInfo => {
    const known = newest(fill.get(countId), read);
    const before = memory.get(countId);
    const isOutdated = isNewer(versionOf(before?.known), versionOf(known));
    const kept: CachedInfo =
      before !== undefined && isOutdated ? before : { known, readAt, askedRevision: before?.askedRevision ?? 0 };
    memory.keepRead(countId, kept, readAt);
    return kept;
  };

  /** Runs a fill: events that arrive until it ends are seen by it. */
  const fillWith = async <T>(work: (fill: Fill, beganAt: number) => Promise<T>): Promise<T> => {
    const fill: Fill = new Map();
    fills.add(fill);
    try {
      return await work(fill, clock.monotonic());
    } finally {
      fills.delete(fill);
    }
  };

  /** From CountInfoDB; what it cannot tell now is taken from memory however old, else `undefined`. */
  const fromView = (countIds: readonly string[]): Promise<readonly (CachedInfo | undefined)[]> =>
    fillWith(async (fill, beganAt) => {
      let infos: readonly (VersionedInfo | undefined)[];
      try {
        infos = await readView(countIds);
      } catch {
        return countIds.map((countId) => {
          const cached = memory.get(countId);
          return cached?.known === undefined ? undefined : cached;
        });
      }
      const settled = countIds.map((countId, index) => settle(countId, infos[index], beganAt, fill));
      const known = settled.flatMap((cached) => (cached.known === undefined ? [] : [cached.known]));
      // A fill that took too long could outlive the event's own entry: it stays out.
      if (known.length > 0 && clock.monotonic() - beganAt < lifeMs) {
        shared.keepNewest(known, lifeMs).catch(() => undefined); // The next one that misses asks CountInfoDB again.
      }
      return settled;
    });

  const fromStores = (countIds: readonly string[]): Promise<readonly (CachedInfo | undefined)[]> =>
    fillWith(async (fill, beganAt) => {
      const cached = await shared.read(countIds).catch(() => []); // Away: CountInfoDB has it.
      const missing = countIds.filter((_, index) => cached[index] === undefined);
      const read = missing.length === 0 ? [] : await fromView(missing);
      const byId = new Map(missing.map((countId, index) => [countId, read[index]]));
      return countIds.map((countId, index) => {
        const info = cached[index];
        return info === undefined ? byId.get(countId) : settle(countId, info, beganAt, fill);
      });
    });

  /** Notes that CountInfoDB was asked for this info revision. */
  const noteAsked = (countId: string, cached: CachedInfo, { infoRevision }: InfoDemand): CachedInfo => {
    if (cached.askedRevision >= infoRevision) return cached;
    const noted = { ...cached, askedRevision: infoRevision };
    if (memory.get(countId) === cached) memory.set(countId, noted);
    return noted;
  };

  const oneFromStores = gather(fromStores);
  const oneFromView = gather(fromView);

  return {
    peek,
    read: async (countId, demand) => {
      const first = memory.get(countId);
      // Memory is too old for the demand, so the cache Redis may be as well: only CountInfoDB can tell.
      let cached = first === undefined || meets(first, demand) ? await oneFromStores(countId) : undefined;
      if (cached === undefined || !meets(cached, demand)) {
        cached = await oneFromView(countId);
        if (cached !== undefined) cached = noteAsked(countId, cached, demand);
      }
      if (cached === undefined) throw countReadErrors.infoUnavailable();
      return cached;
    },
    readAll: async (countIds, demand) => {
      const results = new Map<string, CachedInfo | undefined>();
      const missing: string[] = [];
      for (const countId of new Set(countIds)) {
        const cached = peek(countId, demand(countId));
        if (cached === undefined) missing.push(countId);
        else results.set(countId, cached);
      }
      if (missing.length > 0) {
        const read = await fromStores(missing);
        for (const [index, countId] of missing.entries()) results.set(countId, read[index]);
      }
      const tooOld = missing.filter((countId) => {
        const cached = results.get(countId);
        return cached !== undefined && !meets(cached, demand(countId));
      });
      if (tooOld.length > 0) {
        const read = await fromView(tooOld);
        for (const [index, countId] of tooOld.entries()) {
          const cached = read[index];
          results.set(countId, cached === undefined ? undefined : noteAsked(countId, cached, demand(countId)));
        }
      }
      return countIds.map((countId) => {
        const cached = results.get(countId);
        if (cached === undefined) throw countReadErrors.infoUnavailable();
        return cached;
      });
    },
    forgetAll: () => {
      memory.forgetAll();
      return shared.forgetAll();
    },
    announce: async (announced) => {
      const { countId } = announced.info;
      for (const fill of fills) fill.set(countId, newest(fill.get(countId), announced) ?? announced);
      const before = memory.get(countId);
      if (isNewer(announced, versionOf(before?.known))) {
        const askedRevision = before?.askedRevision ?? 0;
        memory.set(countId, { known: announced, readAt: clock.monotonic(), askedRevision });
      }
      await shared.keepNewest([announced], announcedLives * lifeMs).catch(() => undefined); // Its short life heals it.
    },
  };
}

function versionOf(info: VersionedInfo | undefined): EventVersion<number> {
  return info ?? { epoch: -1, version: 0 };
}

function newest(a: VersionedInfo | undefined, b: VersionedInfo | undefined): VersionedInfo | undefined {
  return isNewer(versionOf(a), versionOf(b)) ? a : b;
}
