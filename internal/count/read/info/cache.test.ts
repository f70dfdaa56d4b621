import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { CountInfoSchema, CountState } from "../../../gen/muin/count/v1/count_pb.ts";
import { systemClock } from "../../../platform/clock/clock.ts";
import { systemRandom } from "../../../platform/clock/random.ts";
import { openRedis, type OpenRedis } from "../../../platform/redis/open-redis.ts";
import { eventually } from "../../../platform/testing/eventually.ts";
import { importMutant } from "../../../platform/testing/mutant.ts";
import { startRedis, type TestRedis } from "../../../platform/testing/redis.ts";
import { createInfoCache, type InfoCache } from "./cache.ts";
import type { InfoView, VersionedInfo } from "./store.ts";
import { createRedisInfoCache } from "./store-redis.ts";

let redis: TestRedis;
let store: OpenRedis;
beforeAll(async () => {
  redis = await startRedis({ appendfsync: "no" });
  store = openRedis({ url: redis.url, name: "test" });
  await store.start();
});
afterAll(async () => {
  await store.stop();
  await redis.stop();
});

let ids = 0;
const newId = (): string => `i${(ids += 1)}`;
const infoOf = (countId: string, version: number, state: CountState = CountState.ACTIVE): VersionedInfo => ({
  info: create(CountInfoSchema, { countId, displayName: `v${version}`, state }),
  epoch: 0,
  version,
});
const anyAge = { infoRevision: 0, absentAfter: Number.NEGATIVE_INFINITY };

/** A CountInfoDB whose answer is on its way until it is let go: what it read is of the moment when it was asked. */
function slowView(current: Map<string, VersionedInfo>) {
  const asked = Promise.withResolvers<void>();
  const release = Promise.withResolvers<void>();
  let trips = 0;
  const view: InfoView = {
    read: async (countIds) => {
      trips += 1;
      const read = countIds.map((countId) => current.get(countId));
      asked.resolve();
      await release.promise;
      return read;
    },
  };
  return { view, asked: asked.promise, release: release.resolve, trips: () => trips };
}

function cacheOn(
  view: InfoView,
  {
    make = createInfoCache,
    makeStore = createRedisInfoCache,
    cachedMax = 100,
  }: { make?: typeof createInfoCache; makeStore?: typeof createRedisInfoCache; cachedMax?: number } = {},
): InfoCache {
  return make({
    view,
    store: makeStore(store, systemRandom),
    clock: systemClock,
    lifeMs: 60_000,
    storeTimeoutMs: 1000,
    cachedMax,
  });
}

const show = (info: VersionedInfo | undefined): string =>
  `${info?.info.displayName} ${info?.info.state === CountState.DELETED ? "deleted" : "active"}`;
const update = (countId: string): VersionedInfo => infoOf(countId, 2);
const removal = (countId: string): VersionedInfo => infoOf(countId, 2, CountState.DELETED);

/** What is known after a fill that began before an event arrives after it: of the fill, in memory, in the cache Redis. */
async function heldFill(
  event: (countId: string) => VersionedInfo,
  options: Parameters<typeof cacheOn>[1] & { readonly evict?: boolean } = {},
): Promise<readonly string[]> {
  const countId = newId();
  const held = slowView(new Map([[countId, infoOf(countId, 1)]]));
  const cache = cacheOn(held.view, options);
  const reading = cache.read(countId, anyAge);
  await held.asked;
  await cache.announce(event(countId));
  if (options.evict === true) await cache.announce(infoOf(newId(), 1)); // Takes the only place in memory.
  held.release();
  const read = show((await reading).known);
  // Scripts are sent in order: the fill's has run when this one has.
  const shared = createRedisInfoCache(store, systemRandom);
  await shared.keepNewest([infoOf(newId(), 1)], 1000);
  return [read, show(cache.peek(countId, anyAge)?.known), show((await shared.read([countId]))[0])];
}

describe("a cache fill that began before an invalidation", () => {
  test("is discarded for the reader, in memory and in the cache Redis", async () => {
    expect(await heldFill(update)).toEqual(["v2 active", "v2 active", "v2 active"]);
    expect(await heldFill(removal)).toEqual(["v2 deleted", "v2 deleted", "v2 deleted"]);
  });

  test("is discarded also when memory has no place for what the event brought", async () => {
    expect(await heldFill(update, { cachedMax: 1, evict: true })).toEqual(["v2 active", "v2 active", "v2 active"]);
  });

  test("mutant: without a look at what came meanwhile it is found out", async () => {
    const { createInfoCache: make } = await importMutant<{ createInfoCache: typeof createInfoCache }>(
      join(import.meta.dir, "cache.ts"),
      "const known = newest(fill.get(countId), read);",
      "const known = read;",
    );
    expect((await heldFill(update, { make, cachedMax: 1, evict: true })).slice(0, 2)).toEqual([
      "v1 active",
      "v1 active",
    ]);
  });

  test("mutant: without the comparison in the cache Redis an old fill is found out", async () => {
    const { createRedisInfoCache: makeStore } = await importMutant<{
      createRedisInfoCache: typeof createRedisInfoCache;
    }>(
      join(import.meta.dir, "store-redis.ts"),
      "if known_epoch < epoch or known_epoch == epoch and known_version < version then",
      "if true then",
    );
    const countId = newId();
    const keep = async (make: typeof createRedisInfoCache): Promise<number | undefined> => {
      await make(store, systemRandom).keepNewest([infoOf(countId, 2)], 10_000);
      await make(store, systemRandom).keepNewest([infoOf(countId, 1)], 10_000);
      return (await make(store, systemRandom).read([countId]))[0]?.version;
    };
    expect([await keep(createRedisInfoCache), await keep(makeStore)]).toEqual([2, 1]);
  });
});

describe("the cache", () => {
  test("asks CountInfoDB once for many at once, and the next instance asks the cache Redis", async () => {
    const countId = newId();
    const held = slowView(new Map([[countId, infoOf(countId, 3)]]));
    const cache = cacheOn(held.view);
    held.release();
    const first = cache.read(countId, anyAge);
    const many = Array.from({ length: 100 }, () => cache.read(countId, anyAge));
    expect((await Promise.all([first, ...many])).map(({ known }) => known?.version)).toEqual(
      Array.from({ length: 101 }, () => 3),
    );
    expect(held.trips()).toBeLessThanOrEqual(2);
    const other = slowView(new Map());
    await createRedisInfoCache(store, systemRandom).read([countId]);
    expect((await cacheOn(other.view).read(countId, anyAge)).known?.version).toBe(3);
    expect(other.trips()).toBe(0);
  });

  test("asks once for a revision that has no metadata, such as a refused change", async () => {
    const countId = newId();
    const held = slowView(new Map([[countId, infoOf(countId, 1)]]));
    held.release();
    const cache = cacheOn(held.view);
    await cache.read(countId, anyAge);
    const demand = { ...anyAge, infoRevision: 2 };
    expect(cache.peek(countId, demand)).toBeUndefined();
    await cache.read(countId, demand);
    expect(cache.peek(countId, demand)?.known?.version).toBe(1);
    expect(held.trips()).toBe(2);
  });

  test("believes that there is no Count only as long as it may", async () => {
    const countId = newId();
    const current = new Map<string, VersionedInfo>();
    const held = slowView(current);
    held.release();
    const cache = cacheOn(held.view);
    await cache.read(countId, anyAge);
    current.set(countId, infoOf(countId, 1));
    expect(cache.peek(countId, anyAge)).toMatchObject({ known: undefined });
    const now = { infoRevision: 0, absentAfter: systemClock.monotonic() };
    expect(cache.peek(countId, now)).toBeUndefined();
    expect((await cache.read(countId, now)).known?.version).toBe(1);
  });
});

/** What memory has of a Count after it was emptied while a fill was on its way, and after a fill that began later. */
async function forgetWhileFilling(make = createInfoCache): Promise<readonly string[]> {
  const countId = newId();
  const held = slowView(new Map([[countId, infoOf(countId, 1)]]));
  const cache = cacheOn(held.view, { make });
  const reading = cache.read(countId, anyAge);
  await held.asked;
  await cache.forgetAll();
  held.release();
  await reading;
  const during = show(cache.peek(countId, anyAge)?.known);
  await cache.read(countId, anyAge);
  const after = show(cache.peek(countId, anyAge)?.known);
  await cache.forgetAll();
  return [during, after, show(cache.peek(countId, anyAge)?.known)];
}

describe("a memory that was emptied", () => {
  test("has nothing from before, and nothing of a fill that began before", async () => {
    expect(await forgetWhileFilling()).toEqual(["undefined active", "v1 active", "undefined active"]);
  });

  test("mutant: a fill that began before is found out", async () => {
    const { createInfoCache: make } = await importMutant<{ createInfoCache: typeof createInfoCache }>(
      join(import.meta.dir, "cache.ts"),
      "if (readAt > forgottenAt) entries.set",
      "entries.set",
    );
    expect((await forgetWhileFilling(make))[0]).toBe("v1 active");
  });
});

/** A reader whose cache Redis holds 1 of what CountInfoDB has as 2, and cannot be emptied when everything is forgotten. */
async function forgetWhileAway(make = createInfoCache) {
  const countId = newId();
  const shared = createRedisInfoCache(store, systemRandom);
  await shared.keepNewest([infoOf(countId, 1)], 60_000);
  const held = slowView(new Map([[countId, infoOf(countId, 2)]]));
  held.release();
  let isAway = true;
  const cacheStore = {
    ...shared,
    empty: () => (isAway ? Promise.reject(new Error("away")) : shared.empty()),
    keepNewest: () => Promise.resolve(), // So that what is read does not replace what should be removed.
  };
  const cache = cacheOn(held.view, { make, makeStore: () => cacheStore });
  const versionRead = async () => (await cache.read(countId, anyAge)).known?.version;
  const before = await versionRead();
  await cache.forgetAll();
  return {
    cache,
    versions: [before, await versionRead()],
    shared: async () => (await shared.read([countId]))[0]?.version,
    comeBack: () => (isAway = false),
  };
}

describe("everything that was forgotten", () => {
  test("is not asked of the cache Redis, which is emptied once it is back", async () => {
    const { cache, versions, shared, comeBack } = await forgetWhileAway();
    expect([...versions, await shared()]).toEqual([1, 2, 1]);
    comeBack();
    await eventually(async () => {
      await cache.readAll([newId()], () => anyAge);
      expect(await shared()).toBeUndefined();
    });
  });

  test("mutant: a cache Redis that is asked before it was emptied is found out", async () => {
    const { createInfoCache: make } = await importMutant<{ createInfoCache: typeof createInfoCache }>(
      join(import.meta.dir, "shared-cache.ts"),
      "const isDoubtful = emptied < forgotten;",
      "const isDoubtful = false;",
      [join(import.meta.dir, "cache.ts")],
    );
    expect((await forgetWhileAway(make)).versions).toEqual([1, 1]);
  });
});
