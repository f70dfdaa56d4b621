import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { type Clock, systemClock } from "../../../platform/clock/clock.ts";
import { storeErrors } from "../../../platform/errors/store-errors.ts";
import { createHeldClock } from "../../../platform/testing/held-clock.ts";
import { caught, importMutant } from "../../../platform/testing/mutant.ts";
import { startRedis } from "../../../platform/testing/redis.ts";
import type { FaceEngine, SearchOutcome } from "../../shared/face-engine.ts";
import { anyVector, near, seededFractions, templateOf } from "../../shared/face-fixture.ts";
import { createStoreEngine } from "../../shared/store-engine.ts";
import { createHedgedEngine } from "./hedge.ts";
import { openDoor, openFaceStore } from "./snapshots-fixture.ts";
import { createStoreHealth } from "./store-health.ts";

setDefaultTimeout(60_000);

const query = {
  gallery: { branchId: "b", modelId: "m", generation: 1, keyId: "k", revision: 1 },
  template: new Float32Array(64),
};
const { signal } = new AbortController();

function found(source: "store" | "snapshot"): SearchOutcome {
  return { kind: "searched", result: { best: undefined, second: undefined }, source, ageMs: 0 };
}

/** An engine whose answers the test gives, one after the other. */
function asked() {
  const searches: PromiseWithResolvers<SearchOutcome>[] = [];
  const signals: AbortSignal[] = [];
  const engine: FaceEngine = {
    search: (_, signal) => {
      const search = Promise.withResolvers<SearchOutcome>();
      searches.push(search);
      signals.push(signal);
      return search.promise;
    },
  };
  return { engine, searches, signals };
}

function hedged(options: { clock?: Clock; create?: typeof createHedgedEngine } = {}) {
  const clock = options.clock ?? createHeldClock();
  const [store, snapshot] = [asked(), asked()];
  const seen = { fired: 0, won: 0 };
  const health = createStoreHealth(clock);
  const engine = (options.create ?? createHedgedEngine)({
    store: store.engine,
    snapshot: snapshot.engine,
    health,
    clock,
    afterMs: 5,
    meters: { fired: () => void (seen.fired += 1), won: () => void (seen.won += 1) },
  });
  return { engine, store, snapshot, seen, health, clock: clock as ReturnType<typeof createHeldClock> };
}

const away = (): Error => storeErrors.unavailable();
/** Lets happen what is due. */
const turn = (): Promise<void> => Bun.sleep(0);

describe("the two engines", () => {
  test("the store is asked alone while it answers in time", async () => {
    const { engine, store, snapshot, seen } = hedged();
    const search = engine.search(query, signal);
    await turn();
    store.searches[0]?.resolve(found("store"));
    expect(await search).toEqual(found("store"));
    expect(snapshot.searches).toHaveLength(0);
    expect(seen).toEqual({ fired: 0, won: 0 });
  });

  test("the snapshot is asked after a while, and the first answer counts", async () => {
    for (const winner of ["store", "snapshot"] as const) {
      const { engine, store, snapshot, seen, clock } = hedged();
      const search = engine.search(query, signal);
      expect(snapshot.searches).toHaveLength(0);
      await clock.pass(5);
      expect(snapshot.searches).toHaveLength(1);
      (winner === "store" ? store : snapshot).searches[0]?.resolve(found(winner));
      expect(await search).toEqual(found(winner));
      expect(seen).toEqual({ fired: 1, won: winner === "store" ? 0 : 1 });
      // Late and of no use: nobody hears it.
      (winner === "store" ? snapshot : store).searches[0]?.reject(away());
      await turn();
      expect(snapshot.signals[0]?.aborted).toBeTrue();
    }
  });

  test("the snapshot is asked at once when the store cannot answer, or is not fresh", async () => {
    for (const answer of ["error", "not_fresh"] as const) {
      const { engine, store, snapshot } = hedged();
      const search = engine.search(query, signal);
      await turn();
      if (answer === "error") store.searches[0]?.reject(away());
      else store.searches[0]?.resolve({ kind: "not_fresh" });
      await turn();
      snapshot.searches[0]?.resolve(found("snapshot"));
      expect(await search).toEqual(found("snapshot"));
    }
  });

  test("whoever has no snapshot waits for the store", async () => {
    const { engine, store, snapshot, clock } = hedged();
    const search = engine.search(query, signal);
    await clock.pass(5);
    snapshot.searches[0]?.resolve({ kind: "no_snapshot" });
    await turn();
    store.searches[0]?.resolve(found("store"));
    expect(await search).toEqual(found("store"));
  });

  test("a search ends with what the store said when neither finds, and with the refusal of a scan", async () => {
    const cases = [
      { snapshot: "no_snapshot", reason: "STORE_UNAVAILABLE" },
      { snapshot: "overloaded", reason: "OVERLOADED" },
    ] as const;
    for (const { snapshot: said, reason } of cases) {
      const { engine, store, snapshot } = hedged();
      const search = engine.search(query, signal);
      await turn();
      store.searches[0]?.reject(away());
      await turn();
      if (said === "overloaded") snapshot.searches[0]?.reject(storeErrors.overloaded());
      else snapshot.searches[0]?.resolve({ kind: "no_snapshot" });
      expect(search).rejects.toMatchObject({ reason });
      await search.catch(() => undefined); // Checked above.
    }
    const { engine, store, snapshot } = hedged();
    const search = engine.search(query, signal);
    await turn();
    store.searches[0]?.resolve({ kind: "not_fresh" });
    await turn();
    snapshot.searches[0]?.resolve({ kind: "no_snapshot" });
    expect(await search).toEqual({ kind: "not_fresh" });
  });

  test("a store that is away is asked once in a while, and by who has nothing else", async () => {
    const { engine, store, snapshot, clock, health } = hedged();
    const first = engine.search(query, signal);
    await clock.pass(5);
    snapshot.searches[0]?.resolve(found("snapshot"));
    await first;
    await clock.pass(51);
    expect(health.isAway).toBeTrue(); // It still owes the first answer.
    const second = engine.search(query, signal);
    await turn();
    expect([store.searches.length, snapshot.searches.length]).toEqual([1, 2]);
    snapshot.searches[1]?.resolve({ kind: "no_snapshot" });
    await turn();
    expect(store.searches).toHaveLength(2);
    await clock.pass(100);
    const third = engine.search(query, signal);
    await turn();
    expect([store.searches.length, snapshot.searches.length]).toEqual([3, 3]);
    for (const search of store.searches) search.resolve(found("store"));
    expect([await second, await third]).toEqual([found("store"), found("store")]);
    expect(health.isAway).toBeFalse();
  });

  test("who asked may go away", async () => {
    const { engine, store, clock } = hedged();
    const gone = new AbortController();
    const search = engine.search(query, gone.signal);
    await clock.pass(5);
    gone.abort(new Error("gone"));
    expect(search).rejects.toThrow("gone");
    await search.catch(() => undefined); // Checked above.
    store.searches[0]?.reject(away());
    await turn();
  });
});

/** The store stands still for a while under 200 searches a second: none is slow, none is wrong. */
async function checkStandstill(create?: typeof createHedgedEngine): Promise<void> {
  await using redis = await startRedis({ appendfsync: "no" });
  await using faces = await openFaceStore(redis.url);
  const fraction = seededFractions(20261130);
  const gallery = await faces.branch();
  const templates = Array.from({ length: 300 }, () => templateOf(anyVector(fraction)));
  for (const [place, template] of templates.entries())
    await faces.writer.put({ memberId: `m${place}`, enrolmentId: `e${place}` }, [{ gallery, templates: [template] }]);
  await using door = await openDoor(redis.url);
  await door.loaded(gallery);
  const engine = (create ?? createHedgedEngine)({
    store: createStoreEngine({ store: door.store, forDoors: true }),
    snapshot: door.snapshots.engine,
    health: createStoreHealth(systemClock),
    clock: systemClock,
    afterMs: 5,
    meters: door.meters.hedge,
  });
  const tookMs: number[] = [];
  const heldUpMs: number[] = [];
  const wrong: number[] = [];
  const ask = async (place: number): Promise<void> => {
    const probe = near(templates[place] as Float32Array, 0.8, fraction);
    const began = systemClock.monotonic();
    const outcome = await engine.search({ gallery, template: probe }, AbortSignal.timeout(2000)).catch(() => undefined);
    tookMs.push(systemClock.monotonic() - began);
    if (outcome?.kind !== "searched" || outcome.result.best?.memberId !== `m${place}`) wrong.push(place);
  };
  const run = async (count: number): Promise<void> => {
    const asks: Promise<void>[] = [];
    const began = systemClock.monotonic();
    for (let at = 0; at < count; at += 1) {
      const dueMs = Math.max(began + at * 5, systemClock.monotonic());
      await systemClock.sleep(Math.max(0, dueMs - systemClock.monotonic()));
      heldUpMs.push(systemClock.monotonic() - dueMs); // Others had the processor.
      asks.push(ask(at % templates.length));
    }
    await Promise.all(asks);
  };
  await run(40);
  await redis.kill("SIGSTOP");
  await run(200);
  await redis.kill("SIGCONT");
  await run(100);
  expect(wrong).toEqual([]);
  expect(tookMs).toHaveLength(340);
  expect(Math.max(...tookMs)).toBeLessThan(100 + Math.max(...heldUpMs));
  expect(door.meters.seen.won).toBeGreaterThanOrEqual(195);
}

describe("while the store stands still", () => {
  test("no search is slow, and none is wrong", () => checkStandstill());

  test("mutant: the snapshot is asked only when the store has failed", async () => {
    const { createHedgedEngine: broken } = await importMutant<{ createHedgedEngine: typeof createHedgedEngine }>(
      join(import.meta.dir, "hedge.ts"),
      "Promise.race([fromStore, clock.sleep(afterMs, signal).catch(() => undefined)])",
      "fromStore",
    );
    await caught(() => checkStandstill(broken));
  });
});
