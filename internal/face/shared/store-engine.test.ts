import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import * as fc from "fast-check";
import { openRedisReader } from "../../platform/redis/open-redis.ts";
import type { RedisStore } from "../../platform/redis/redis-store.ts";
import { eventually } from "../../platform/testing/eventually.ts";
import { caught, importMutant } from "../../platform/testing/mutant.ts";
import { sharedRedis, startRedis, type TestRedis } from "../../platform/testing/redis.ts";
import { isMatch, rescore, type SearchResult } from "./face-engine.ts";
import {
  anyVector,
  dimensions,
  type FaceFixture,
  near,
  openFaces,
  seededFractions,
  templateOf,
} from "./face-fixture.ts";
import { markFresh, readRunId } from "./fresh.ts";
import type { ActiveGallery } from "./gallery.ts";
import { elementName, galleryKeys } from "./key-schema.ts";
import { createStoreEngine } from "./store-engine.ts";

setDefaultTimeout(60_000);

type CreateEngine = typeof createStoreEngine;

let redis: TestRedis;
let faces: FaceFixture;
const never = new AbortController().signal;

beforeAll(async () => {
  redis = await sharedRedis();
  faces = await openFaces(redis.url);
});
afterAll(() => faces[Symbol.asyncDispose]());

/** The engine with one rule broken in one of its files. */
async function brokenEngine(rule: string, instead: string, file = "store-engine.ts"): Promise<CreateEngine> {
  const mutant = await importMutant<{ createStoreEngine: CreateEngine }>(join(import.meta.dir, file), rule, instead, [
    join(import.meta.dir, "store-engine.ts"),
  ]);
  return mutant.createStoreEngine;
}

/** What a gallery holds, by a plain map. */
type Model = Map<
  string,
  { readonly memberId: string; readonly enrolmentId: string; readonly templates: Float32Array[] }
>;

/** Ranks all of a gallery's faces, as plainly as can be. */
function expected(model: Model, query: Float32Array, memberId?: string): SearchResult {
  const all = [...model.values()].filter((one) => memberId === undefined || one.memberId === memberId);
  return rescore(
    query,
    all.flatMap(({ templates, ...enrolment }) =>
      templates.map((template, index) => ({ name: elementName({ ...enrolment, index }), template })),
    ),
  );
}

/** Random galleries, with updates, erasures and denials; the answer is that of the plain ranking each time. */
async function checkExact(createEngine: CreateEngine): Promise<void> {
  const engine = createEngine({ store: faces.store, forDoors: true });
  await fc.assert(
    fc.asyncProperty(fc.integer(), fc.constantFrom(0, 1, 30, 150), async (seed, people) => {
      const fraction = seededFractions(seed);
      const gallery = await faces.gallery();
      const model: Model = new Map();
      const middle = templateOf(anyVector(fraction));
      const likeMiddle = (): Float32Array => near(middle, 0.2 + 0.7 * fraction(), fraction);
      const denials = new Map<number, number>();
      /** Who was denied is enrolled anew. */
      const nameOf = (person: number) => ({
        memberId: `m${person}`,
        enrolmentId: `e${person}.${denials.get(person) ?? 0}`,
      });
      const put = async (person: number): Promise<void> => {
        const name = nameOf(person);
        const templates = Array.from({ length: 1 + Math.floor(fraction() * 3) }, likeMiddle);
        await faces.writer.put(name, [{ gallery, templates }]);
        model.set(name.enrolmentId, { ...name, templates });
      };
      const someone = (): number => Math.floor(fraction() * people);
      await Promise.all(Array.from({ length: people }, (_, person) => put(person)));
      for (let change = 0; change < Math.min(people, 10); change += 1) {
        const person = someone();
        const name = nameOf(person);
        if (fraction() < 0.4) await put(person);
        else {
          model.delete(name.enrolmentId);
          if (fraction() < 0.5) {
            await faces.writer.deny(name.enrolmentId, [gallery.branchId], 1);
            denials.set(person, (denials.get(person) ?? 0) + 1);
          } else await faces.writer.remove(name, [gallery]);
        }
        if (fraction() < 0.2) await put(people + change);
        for (const query of [middle, likeMiddle(), templateOf(anyVector(fraction))]) {
          const memberId = fraction() < 0.2 ? `m${someone()}` : undefined;
          const outcome = await engine.search({ gallery, template: query, memberId }, never);
          expect(outcome).toEqual({
            kind: "searched",
            source: "store",
            ageMs: 0,
            beside: undefined,
            result: expected(model, query, memberId),
          });
        }
      }
    }),
    { numRuns: 12 },
  );
}

/** A face of a few numbers that int8 keeps exactly, of whose people the first two are likest to the query of `checkWidening`. */
function kept(person: number): Float32Array {
  const small = person < 2 ? 20 : 2;
  return templateOf(
    Array.from({ length: dimensions }, (_, place) => (place === 0 ? 127 : place === 1 + (person % 60) ? small : 0)),
  );
}

/**
 * A gallery whose likest face looks unlike in int8, where all of its small numbers are lost, while those of 80 others are kept: it is not among the
 * first candidates, by the vector set's scores. `surely`: one more person is likest beyond doubt, and it is the second that is to be found.
 */
async function checkWidening(createEngine: CreateEngine, surely = false): Promise<void> {
  const engine = createEngine({ store: faces.store, forDoors: true });
  const gallery = await faces.gallery();
  const query = templateOf(Array.from({ length: dimensions }, (_, place) => (place === 0 ? 127 : 16)));
  const lost = templateOf(Array.from({ length: dimensions }, (_, place) => (place === 0 ? 127 : 0.49)));
  const model: Model = new Map();
  const put = async (memberId: string, template: Float32Array): Promise<void> => {
    const name = { memberId, enrolmentId: `of ${memberId}` };
    await faces.writer.put(name, [{ gallery, templates: [template] }]);
    model.set(memberId, { ...name, templates: [template] });
  };
  await put("lost", lost);
  if (surely) await put("sure", query);
  for (let person = 0; person < 80; person += 1) await put(`kept ${person}`, kept(person));
  const outcome = await engine.search({ gallery, template: query }, never);
  expect(outcome).toMatchObject({ kind: "searched", result: expected(model, query) });
  expect(outcome).toMatchObject({ result: { [surely ? "second" : "best"]: { memberId: "lost" } } });
}

function checkWideningForSecond(createEngine: CreateEngine): Promise<void> {
  return checkWidening(createEngine, true);
}

/** A face like none of many that are much alike takes two round trips, when that is all that is asked. */
async function checkDecided(createEngine: CreateEngine): Promise<void> {
  let pipelines = 0;
  const pipeline = () => {
    pipelines += 1;
    return faces.store.client.pipeline();
  };
  const counted = { ...faces.store, client: { pipeline } as unknown as RedisStore["client"] };
  const engine = createEngine({ store: counted, forDoors: true });
  const gallery = await faces.gallery();
  const fraction = seededFractions(7);
  const middle = templateOf(anyVector(fraction));
  for (let person = 0; person < 150; person += 1)
    await faces.writer.put({ memberId: `m${person}`, enrolmentId: "e" }, [
      { gallery, templates: [near(middle, 0.999, fraction)] },
    ]);
  const template = near(middle, 0.9, fraction);
  await engine.search({ gallery, template }, never);
  expect(pipelines).toBeGreaterThan(2);
  pipelines = 0;
  const decideBy = { threshold: 0.95, margin: 0 };
  const outcome = await engine.search({ gallery, template, decideBy }, never);
  expect(outcome.kind === "searched" && isMatch(outcome.result, decideBy)).toBe(false);
  expect(pipelines).toBe(2);
}

/** Once a denial has resolved nobody is found by that enrolment, also if its faces are still there; by another they are. */
async function checkDenied(createEngine: CreateEngine): Promise<void> {
  const engine = createEngine({ store: faces.store, forDoors: true });
  const gallery = await faces.gallery();
  const template = templateOf(anyVector(seededFractions(1)));
  const search = () => engine.search({ gallery, template }, never);
  await faces.writer.put({ memberId: "a", enrolmentId: "first" }, [{ gallery, templates: [template] }]);
  expect(await search()).toMatchObject({ result: { best: { memberId: "a" } } });
  await faces.writer.deny("first", [gallery.branchId], 1);
  expect(await search()).toMatchObject({ kind: "searched", result: { best: undefined } });
  await faces.writer.put({ memberId: "a", enrolmentId: "second" }, [{ gallery, templates: [template] }]);
  expect(await search()).toMatchObject({ result: { best: { memberId: "a", enrolmentId: "second" } } });
}

/** A store that was started again opens no door until its erasures were replayed for that start. */
async function checkFresh(createEngine: CreateEngine): Promise<void> {
  await using server = await startRedis();
  await using own = await openFaces(server.url, { createEngine, isFresh: false });
  const gallery = await own.gallery();
  const template = templateOf(anyVector(seededFractions(1)));
  await own.writer.put({ memberId: "a", enrolmentId: "e" }, [{ gallery, templates: [template] }]);
  const search = async () => (await own.engine.search({ gallery, template }, never)).kind;
  expect(await search()).toBe("not_fresh");
  await markFresh(own.store, await readRunId(own.store));
  expect(await search()).toBe("searched");
  await server.kill("SIGKILL");
  await server.restart();
  await using again = await openFaces(server.url, { createEngine, isFresh: false });
  expect((await again.engine.search({ gallery, template }, never)).kind).toBe("not_fresh");
  await markFresh(again.store, await readRunId(again.store));
  expect(await again.find(gallery, template)).toMatchObject({ best: { memberId: "a" } });
}

/** A face without its copy is not there. */
async function checkMissingCopy(createEngine: CreateEngine): Promise<void> {
  const engine = createEngine({ store: faces.store, forDoors: true });
  const gallery = await faces.gallery();
  const template = templateOf(anyVector(seededFractions(1)));
  for (const memberId of ["a", "b"])
    await faces.writer.put({ memberId, enrolmentId: "e" }, [{ gallery, templates: [template] }]);
  await faces.store.client.hdel(galleryKeys(gallery).copy, "a/e/0");
  const outcome = await engine.search({ gallery, template }, never);
  expect(outcome).toMatchObject({ kind: "searched", result: { best: { memberId: "b" }, second: undefined } });
}

/** Who looks for a template that was turned for another gallery than the active one is told so. */
async function checkGallery(createEngine: CreateEngine): Promise<void> {
  const engine = createEngine({ store: faces.store, forDoors: true });
  const former = await faces.gallery();
  const template = templateOf(anyVector(seededFractions(1)));
  const search = (gallery: ActiveGallery) => engine.search({ gallery, template }, never);
  const active = await faces.gallery(former.branchId);
  expect(await search(former)).toEqual({ kind: "gallery_changed", active });
  expect(await search({ ...active, keyId: "another" })).toEqual({ kind: "gallery_changed", active });
  expect(await search({ ...active, revision: 7 })).toMatchObject({ kind: "searched" });
  const unknown = { ...active, branchId: "unknown" };
  expect(await search(unknown)).toEqual({ kind: "gallery_changed", active: undefined });
  const forAll = createEngine({ store: faces.store, forDoors: false });
  expect(await forAll.search({ gallery: former, template }, never)).toMatchObject({ kind: "searched" });
}

/** A store between whose first pipeline and the second something happens; from the second on `later` answers. */
function interrupted(store: RedisStore, between: () => Promise<unknown>, later = store): RedisStore {
  let pipelines = 0;
  const pipeline = () => {
    pipelines += 1;
    if (pipelines === 1) return store.client.pipeline();
    const next = later.client.pipeline();
    const exec = next.exec.bind(next);
    if (pipelines === 2) next.exec = async () => await between().then(() => exec());
    return next;
  };
  return { ...store, client: { pipeline } as unknown as RedisStore["client"] };
}

/** Whoever is denied while a search is under way is not found by it any more, since the deny-list is read last. */
async function checkDeniedMeanwhile(createEngine: CreateEngine): Promise<void> {
  const gallery = await faces.gallery();
  const template = templateOf(anyVector(seededFractions(1)));
  await faces.writer.put({ memberId: "a", enrolmentId: "e" }, [{ gallery, templates: [template] }]);
  const deny = () => faces.writer.deny("e", [gallery.branchId], 1);
  const engine = createEngine({ store: interrupted(faces.store, deny), forDoors: true });
  expect(await engine.search({ gallery, template }, never)).toMatchObject({ result: { best: undefined } });
}

/** A gallery that is exchanged and dropped while it is searched finds nobody, which says nothing. */
async function checkDroppedMeanwhile(createEngine: CreateEngine): Promise<void> {
  const gallery = await faces.gallery();
  const template = templateOf(anyVector(seededFractions(1)));
  await faces.writer.put({ memberId: "a", enrolmentId: "e" }, [{ gallery, templates: [template] }]);
  const exchange = async () => {
    await faces.gallery(gallery.branchId);
    await faces.writer.dropGallery(gallery, never);
  };
  const engine = createEngine({ store: interrupted(faces.store, exchange), forDoors: true });
  expect((await engine.search({ gallery, template }, never)).kind).toBe("gallery_changed");
}

/** Half a search by one process and half by the next, with other data, is none. */
async function checkRestartedMeanwhile(createEngine: CreateEngine): Promise<void> {
  await using server = await startRedis();
  await using other = await openFaces(server.url);
  const gallery = await faces.gallery();
  await other.gallery(gallery.branchId);
  const template = templateOf(anyVector(seededFractions(1)));
  await faces.writer.put({ memberId: "a", enrolmentId: "e" }, [{ gallery, templates: [template] }]);
  await other.writer.put({ memberId: "b", enrolmentId: "e" }, [{ gallery, templates: [template] }]);
  const store = interrupted(faces.store, () => Promise.resolve(), other.store);
  const outcome = await createEngine({ store, forDoors: true }).search({ gallery, template }, never);
  expect(outcome).toMatchObject({ kind: "searched", result: { best: { memberId: "b" } } });
}

describe("a search of the face Redis", () => {
  test("finds what a plain ranking of all faces finds", () => checkExact(createStoreEngine));

  test("finds the likest face also where the vector set does not count it among the likest", () =>
    checkWidening(createStoreEngine));

  test("finds the second person also where the vector set does not count it among the likest", () =>
    checkWideningForSecond(createStoreEngine));

  test("ends early where that changes no decision", () => checkDecided(createStoreEngine));

  test("finds nobody by an enrolment that was denied", () => checkDenied(createStoreEngine));

  test("decides nothing from a store whose erasures were not replayed", () => checkFresh(createStoreEngine));

  test("finds no face whose copy is gone", () => checkMissingCopy(createStoreEngine));

  test("is told when another gallery is active", () => checkGallery(createStoreEngine));

  test("is of one moment: what is denied, dropped or put back meanwhile is seen", async () => {
    await checkDeniedMeanwhile(createStoreEngine);
    await checkDroppedMeanwhile(createStoreEngine);
    await checkRestartedMeanwhile(createStoreEngine);
  });

  test("goes by connections of its own, once it is started, many at a time", async () => {
    const engine = createStoreEngine({ store: faces.store, forDoors: true, connections: 2 });
    await engine.start();
    await using stack = new AsyncDisposableStack();
    stack.defer(() => engine.stop());
    const gallery = await faces.gallery();
    const fraction = seededFractions(1);
    const templates = Array.from({ length: 20 }, () => templateOf(anyVector(fraction)));
    for (const [person, template] of templates.entries())
      await faces.writer.put({ memberId: `m${person}`, enrolmentId: "e" }, [{ gallery, templates: [template] }]);
    const outcomes = await Promise.all(templates.map((template) => engine.search({ gallery, template }, never)));
    expect(outcomes.map((outcome) => outcome.kind === "searched" && outcome.result.best?.memberId)).toEqual(
      templates.map((_, person) => `m${person}`),
    );
    await engine.stop();
    const [template] = templates as [Float32Array];
    expect(engine.search({ gallery, template }, never)).rejects.toMatchObject({ reason: "STORE_UNAVAILABLE" });
  });

  test("starts also while the store is away", async () => {
    await using server = await startRedis();
    await using own = await openFaces(server.url);
    const gallery = await own.gallery();
    await server.kill("SIGKILL");
    const engine = createStoreEngine({ store: own.store, forDoors: true });
    await engine.start();
    await using stack = new AsyncDisposableStack();
    stack.defer(() => engine.stop());
    const search = () => engine.search({ gallery, template: templateOf(anyVector(seededFractions(1))) }, never);
    expect(search()).rejects.toMatchObject({ reason: "STORE_UNAVAILABLE" });
    await server.restart();
    expect(await eventually(search)).toEqual({ kind: "not_fresh" });
  });

  test("brings what stands beside the best, and works with the rights of a reader", async () => {
    const reader = openRedisReader({ url: redis.url, name: "test" });
    await reader.start();
    await using stack = new AsyncDisposableStack();
    stack.defer(() => reader.stop());
    const engine = createStoreEngine({ store: reader, forDoors: true, besideKey: (memberId) => `beside:${memberId}` });
    const gallery = await faces.gallery();
    const fraction = seededFractions(1);
    const template = templateOf(anyVector(fraction));
    await faces.store.client.set("beside:b", Buffer.from([0xff, 0]));
    expect(await engine.search({ gallery, template }, never)).toMatchObject({ result: { best: undefined } });
    for (const [memberId, cosine] of [
      ["a", 0.5],
      ["b", 0.9],
      ["c", 0.1],
    ] as const) {
      const templates = [near(template, cosine, fraction)];
      await faces.writer.put({ memberId, enrolmentId: "e" }, [{ gallery, templates }]);
    }
    expect(await engine.search({ gallery, template }, never)).toMatchObject({
      result: { best: { memberId: "b" }, second: { memberId: "a" } },
      beside: Buffer.from([0xff, 0]),
    });
    expect(await engine.search({ gallery, template, memberId: "c" }, never)).toMatchObject({
      result: { best: { memberId: "c" }, second: undefined },
      beside: undefined,
    });
  });

  test("ends with its signal, and says when the store is away", async () => {
    await using server = await startRedis();
    await using own = await openFaces(server.url);
    const gallery = await own.gallery();
    const template = templateOf(anyVector(seededFractions(1)));
    const aborting = new AbortController();
    await server.kill("SIGSTOP");
    const search = own.engine.search({ gallery, template }, aborting.signal);
    aborting.abort(new Error("late"));
    expect(search).rejects.toThrow("late");
    expect(own.engine.search({ gallery, template }, aborting.signal)).rejects.toThrow("late");
    await server.kill("SIGKILL");
    expect(own.engine.search({ gallery, template }, never)).rejects.toMatchObject({ reason: "STORE_UNAVAILABLE" });
  });

  test.each([
    [
      checkWidening,
      "return queryError + storedErrorMax + queryError * storedErrorMax + roundingPerDimension * dimensions;",
      "return 0;",
      "quantisation.ts",
    ],
    [checkWidening, "if (names.length < count) return", "if (true) return", undefined],
    [
      checkWideningForSecond,
      "best > restCosineMax && second > restCosineMax",
      "best > restCosineMax",
      "face-engine.ts",
    ],
    [checkDecided, "best < threshold && restCosineMax < threshold", "false", "face-engine.ts"],
    [checkDenied, " && denied[place] === null", "", undefined],
    [
      checkRestartedMeanwhile,
      "if (runIdOf(info as string) !== runIdOf(infoBefore)) return",
      "if (mark === null) return",
      undefined,
    ],
    [
      checkDroppedMeanwhile,
      "const [info, mark, active] = replies.slice(-3);",
      "const [info, mark] = replies.slice(-3), active = [gallery.modelId, gallery.generation, gallery.keyId, 1];",
      undefined,
    ],
    [checkFresh, "if (runIdOf(info as string) !== mark) return", "if (mark === null) return", undefined],
    [checkGallery, "each !== undefined && isSameGallery(each, gallery)", "each !== undefined", undefined],
    [
      checkMissingCopy,
      "if (copy !== null) copies.set(unread[at + index] as string, floatsOf(copy));",
      "copies.set(unread[at + index] as string, copy === null ? template : floatsOf(copy));",
      undefined,
    ],
    [checkExact, " && denied[place] === null", "", undefined],
  ] as const)("is noticed to be broken: %p with %s as %s", async (check, rule, instead, file) => {
    const broken = await brokenEngine(rule, instead, file);
    await caught(() => check(broken));
  });
});
