import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { storeErrors } from "../../platform/errors/store-errors.ts";
import { eventually } from "../../platform/testing/eventually.ts";
import { startLossyProxy } from "../../platform/testing/lossy-proxy.ts";
import { caught, importMutant } from "../../platform/testing/mutant.ts";
import { sharedRedis, startRedis, type TestRedis } from "../../platform/testing/redis.ts";
import { unpackChange } from "./change-stream.ts";
import { bytesOf } from "./embedding.ts";
import { anyVector, dimensions, type FaceFixture, openFaces, seededFractions, templateOf } from "./face-fixture.ts";
import { createFaceWriter } from "./face-writer-redis.ts";
import { type FaceModelRecord, type GalleryId, modelFields, readFaceModel } from "./gallery.ts";
import { changesKey, denyKey, galleryKeys, modelKey } from "./key-schema.ts";

setDefaultTimeout(60_000);

type CreateWriter = typeof createFaceWriter;

let redis: TestRedis;
let faces: FaceFixture;

beforeAll(async () => {
  redis = await sharedRedis();
  faces = await openFaces(redis.url);
});
afterAll(() => faces[Symbol.asyncDispose]());

const fraction = seededFractions(1);
const anyTemplate = (): Float32Array => templateOf(anyVector(fraction));
const ada = { memberId: "ada", enrolmentId: "e1" };

/** The writer with one rule broken. */
async function brokenWriter(rule: string, instead: string): Promise<CreateWriter> {
  const path = join(import.meta.dir, "face-writer-redis.ts");
  return (await importMutant<{ createFaceWriter: CreateWriter }>(path, rule, instead)).createFaceWriter;
}

/** What the store holds of a gallery, by element: the copy, and what the vector set makes of the vector. */
async function read({ store }: FaceFixture, gallery: GalleryId) {
  const { set, copy, names } = galleryKeys(gallery);
  const elements = await store.client.zrange(names, 0, "-1");
  const held = await Promise.all(
    elements.map(async (element) => ({
      element,
      copy: await store.client.hgetBuffer(copy, element),
      vector: await store.client.callBuffer("VEMB", set, element, "RAW"),
    })),
  );
  return {
    held,
    vectors: Number(await store.client.call("VCARD", set)),
    copies: await store.client.hlen(copy),
  };
}

/** A gallery has exactly these faces, in the vector set, the copies and the names alike. */
async function expectFaces(fixture: FaceFixture, gallery: GalleryId, expected: Record<string, Float32Array>) {
  const { held, vectors, copies } = await read(fixture, gallery);
  expect(held.map(({ element, copy }) => [element, copy])).toEqual(
    Object.entries(expected).map(([element, template]) => [element, bytesOf(template)]),
  );
  expect([vectors, copies]).toEqual([held.length, held.length]);
  for (const { element, vector } of held) {
    const [, quants, , largest] = vector as Buffer[];
    const template = expected[element] as Float32Array;
    const wanted = Math.max(...template.map(Math.abs));
    expect(Number(largest)).toBeCloseTo(wanted, 5);
    expect([...new Int8Array(quants as Buffer)]).toEqual(
      Array.from(template, (number) => Math.round((number * 127) / wanted) + 0),
    );
  }
}

function idOf({ branchId, modelId, generation }: GalleryId): GalleryId {
  return { branchId, modelId, generation };
}

/** Every change of the stream after an id. */
async function changesAfter({ store }: FaceFixture, id: string) {
  const entries = await store.client.xrangeBuffer(changesKey, `(${id}`, "+");
  return entries.map(([at, fields]) => ({ id: at.toString(), change: unpackChange(fields) }));
}

/** A replacement is on disk, in the vector set as in the copies, also once the append-only file was rewritten. */
async function checkDurable(create: CreateWriter): Promise<void> {
  await using server = await startRedis();
  const [first, second] = [anyTemplate(), anyTemplate()];
  const gallery: GalleryId = { branchId: "b", modelId: "m", generation: 1 };
  {
    await using own = await openFaces(server.url, { createWriter: create });
    await own.writer.put(ada, [{ gallery, templates: [first, first, first] }]);
    await own.writer.put(ada, [{ gallery, templates: [second, first] }]);
    await expectFaces(own, gallery, { "ada/e1/0": second, "ada/e1/1": first });
  }
  await server.kill("SIGKILL");
  await server.restart();
  {
    await using again = await openFaces(server.url);
    await expectFaces(again, gallery, { "ada/e1/0": second, "ada/e1/1": first });
    await again.store.client.bgrewriteaof();
    await eventually(async () => {
      const info = await again.store.client.info("persistence");
      expect(info).toContain("aof_rewrite_in_progress:0");
      expect(info).toContain("aof_rewrite_scheduled:0");
      expect(info).toContain("aof_last_bgrewrite_status:ok");
    });
    await again.writer.put(ada, [{ gallery, templates: [first] }]);
  }
  await server.kill("SIGKILL");
  await server.restart();
  await using last = await openFaces(server.url);
  await expectFaces(last, gallery, { "ada/e1/0": first });
}

/** A branch's gallery changes only from the revision that was named, and is the same when it is asked for again. */
async function checkActivate(create: CreateWriter): Promise<void> {
  const writer = create(faces.store);
  const gallery = { branchId: crypto.randomUUID(), modelId: "m", generation: 1, keyId: "k" };
  expect(await writer.readActive(gallery.branchId)).toBeUndefined();
  const first = { ...gallery, revision: 1 };
  const done = await writer.activate(gallery, 0);
  expect(done).toMatchObject({ kind: "done", active: first });
  expect(await writer.activate(gallery, 0)).toMatchObject({ kind: "done", active: first });
  expect(await writer.activate({ ...gallery, modelId: "other" }, 0)).toEqual({ kind: "conflict", active: first });
  expect(await writer.activate(gallery, 2)).toEqual({ kind: "conflict", active: first });
  const race = await Promise.all(
    ["x", "y", "z"].map((modelId) => writer.activate({ ...gallery, modelId, generation: 4 }, 1)),
  );
  expect(race.map(({ kind }) => kind).toSorted()).toEqual(["conflict", "conflict", "done"]);
  const winner = race.find(({ kind }) => kind === "done")?.active;
  const nowMs = Date.now();
  const { former, ...active } = (await writer.readActive(gallery.branchId))!;
  expect(active).toEqual(winner!);
  const { untilMs, ...formerly } = former!;
  expect(formerly).toEqual(gallery);
  expect(Math.abs(untilMs - nowMs - 600_000)).toBeLessThan(10_000);
  expect(winner).toMatchObject({ revision: 2, generation: 4 });
  const told = await changesAfter(faces, "0-0");
  expect(told.at(-1)?.change).toEqual({ kind: "gallery", active: winner! });
  expect(told.find(({ id }) => done.kind === "done" && id === done.changeId)?.change).toEqual({
    kind: "gallery",
    active: first,
  });
  // Another generation of the same model is no other model: what was the former one stays it.
  const { modelId = "" } = winner ?? {};
  await writer.activate({ ...gallery, modelId, generation: 5 }, 2);
  expect((await writer.readActive(gallery.branchId))?.former).toEqual(former);
}

/** A model is not put back to an earlier revision. */
async function checkModel(create: CreateWriter): Promise<void> {
  const writer = create(faces.store);
  const model: FaceModelRecord = {
    modelId: `model-${crypto.randomUUID()}`,
    dimensions: 2,
    mean: Float32Array.of(0.5, -1),
    threshold: 0.4,
    margin: 0.05,
    duplicateThreshold: 0.7,
    revision: 2,
  };
  const stored = async () =>
    readFaceModel(model.modelId, await faces.store.client.hmgetBuffer(modelKey(model.modelId), ...modelFields));
  expect(await stored()).toBeUndefined();
  expect((await writer.putModel(model)).kind).toBe("done");
  expect(await stored()).toEqual(model);
  expect((await writer.putModel(model)).kind).toBe("done");
  expect((await writer.putModel({ ...model, revision: 1, threshold: 0.9 })).kind).toBe("stale");
  expect(await stored()).toEqual(model);
  const later = { ...model, revision: 3, mean: undefined };
  expect((await writer.putModel(later)).kind).toBe("done");
  expect(await stored()).toEqual(later);
  expect((await changesAfter(faces, "0-0")).at(-1)?.change).toEqual({ kind: "model", model: later });
}

describe("a write to the face Redis", () => {
  test("makes an enrolment's faces exactly those that were given, in all galleries, and tells it", async () => {
    const [one, two] = [await faces.gallery(), await faces.gallery()];
    const [a, b, c, d] = [anyTemplate(), anyTemplate(), anyTemplate(), anyTemplate()];
    const before = (await changesAfter(faces, "0-0")).at(-1)?.id ?? "0-0";
    await faces.writer.put({ memberId: "ben", enrolmentId: "e2" }, [{ gallery: one, templates: [d] }]);
    await faces.writer.put(ada, [
      { gallery: one, templates: [a, b, c] },
      { gallery: two, templates: [a] },
    ]);
    await expectFaces(faces, one, { "ada/e1/0": a, "ada/e1/1": b, "ada/e1/2": c, "ben/e2/0": d });
    await expectFaces(faces, two, { "ada/e1/0": a });
    const put = await faces.writer.put(ada, [{ gallery: one, templates: [c] }]);
    await expectFaces(faces, one, { "ada/e1/0": c, "ben/e2/0": d });
    const removed = await faces.writer.remove(ada, [one, two]);
    await expectFaces(faces, one, { "ben/e2/0": d });
    await expectFaces(faces, two, {});
    await faces.writer.remove(ada, [one]);
    const told = await changesAfter(faces, before);
    expect(told.map(({ change }) => change)).toEqual([
      { kind: "put", gallery: idOf(one), memberId: "ben", enrolmentId: "e2", templates: [d] },
      { kind: "put", gallery: idOf(one), ...ada, templates: [a, b, c] },
      { kind: "put", gallery: idOf(two), ...ada, templates: [a] },
      { kind: "put", gallery: idOf(one), ...ada, templates: [c] },
      { kind: "remove", gallery: idOf(one), ...ada },
      { kind: "remove", gallery: idOf(two), ...ada },
      { kind: "remove", gallery: idOf(one), ...ada },
    ]);
    expect([told[3]?.id, told[5]?.id]).toEqual([put, removed]);
  });

  test("survives a kill, in the vector set as in the copies", () => checkDurable(createFaceWriter));

  test("activates a gallery from the revision that was named", () => checkActivate(createFaceWriter));

  test("keeps a model's latest revision", () => checkModel(createFaceWriter));

  test("denies an enrolment at branches, and forgets it", async () => {
    const branches = [crypto.randomUUID(), crypto.randomUUID()];
    const changeId = await faces.writer.deny("e1", branches, 17);
    for (const branchId of branches) expect(await faces.store.client.hgetall(denyKey(branchId))).toEqual({ e1: "17" });
    const told = (await changesAfter(faces, "0-0")).slice(-2);
    expect(told.map(({ change }) => change)).toEqual(
      branches.map((branchId) => ({ kind: "deny", branchId, enrolmentId: "e1", atMs: 17 })),
    );
    expect(told[1]?.id).toBe(changeId);
    await faces.writer.forgetDenials(branches[0] as string, ["e1", "e2"]);
    await faces.writer.forgetDenials(branches[1] as string, []);
    expect(await Promise.all(branches.map((branchId) => faces.store.client.hlen(denyKey(branchId))))).toEqual([0, 1]);
  });

  test("drops a gallery of many faces, and goes on where it was ended", async () => {
    const gallery = await faces.gallery();
    const templates = Array.from({ length: 10 }, anyTemplate);
    for (let person = 0; person < 20; person += 1)
      await faces.writer.put({ memberId: `m${person}`, enrolmentId: "e" }, [{ gallery, templates }]);
    expect((await read(faces, gallery)).vectors).toBe(200);
    const aborted = AbortSignal.abort(new Error("ended"));
    expect(faces.writer.dropGallery(gallery, aborted)).rejects.toThrow("ended");
    const changeId = await faces.writer.dropGallery(gallery, new AbortController().signal);
    expect((await changesAfter(faces, "0-0")).at(-1)).toEqual({
      id: changeId,
      change: { kind: "drop", gallery: idOf(gallery) },
    });
    expect(await faces.store.client.exists(...Object.values(galleryKeys(gallery)))).toBe(0);
  });

  test("of faces that are too many, none or of different lengths is a mistake that changes nothing", async () => {
    const gallery = await faces.gallery();
    for (const templates of [
      [],
      Array.from({ length: 11 }, anyTemplate),
      [anyTemplate(), new Float32Array(dimensions + 1)],
    ])
      expect(faces.writer.put(ada, [{ gallery, templates }])).rejects.toThrow();
    expect(faces.writer.put(ada, [])).rejects.toThrow("a write of nothing");
    await expectFaces(faces, gallery, {});
  });

  test("whose answer is lost was done, once or not at all, and is the same when it is written again", async () => {
    using proxy = startLossyProxy(redis.port);
    await using own = await openFaces(redis.url.replace(`:${redis.port}`, `:${proxy.port}`));
    const gallery = await faces.gallery();
    const template = anyTemplate();
    proxy.loseReply(0);
    const write = () => own.writer.put(ada, [{ gallery, templates: [template] }]);
    expect(write()).rejects.toMatchObject({ reason: "STORE_UNAVAILABLE" });
    await eventually(() => expect(proxy.lost()).toBe(1));
    await eventually(write);
    await expectFaces(faces, gallery, { "ada/e1/0": template });
  });

  test("to a server without memory changes nothing", async () => {
    await using server = await startRedis({ args: ["--maxmemory-policy", "noeviction"] });
    await using own = await openFaces(server.url);
    const gallery = await own.gallery();
    const template = anyTemplate();
    await own.writer.put(ada, [{ gallery, templates: [template] }]);
    await own.store.client.config("SET", "maxmemory", "1");
    const full = { reason: storeErrors.full().reason };
    expect(own.writer.put(ada, [{ gallery, templates: [anyTemplate()] }])).rejects.toMatchObject(full);
    expect(own.writer.deny("e1", [gallery.branchId], 1)).rejects.toMatchObject(full);
    await own.store.client.config("SET", "maxmemory", "0");
    await expectFaces(own, gallery, { "ada/e1/0": template });
  });

  test.each([
    [checkDurable, "...removal(enrolment, gallery), ...insertion", "...insertion"],
    [checkDurable, '...elements.map((element): Command => ["VREM", set, element]),', ""],
    [checkDurable, '["HDEL", copy, ...elements],', ""],
    [checkActivate, "if revision ~= wanted and not is_done then return held end", ""],
    [checkActivate, "if revision ~= wanted and not is_done", "if revision ~= wanted"],
    [checkActivate, " and held[1] == ARGV[2] and", " and"],
    [
      checkModel,
      "if tonumber(redis.call('HGET', KEYS[1], 'revision') or '0') > tonumber(ARGV[1]) then return false end",
      "",
    ],
  ] as const)("is noticed to be broken: %p with %s as %s", async (check, rule, instead) => {
    const broken = await brokenWriter(rule, instead);
    await caught(() => check(broken));
  });
});
