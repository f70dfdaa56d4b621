import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import type { ServiceInfo } from "../../../platform/service/define-service.ts";
import { eventually } from "../../../platform/testing/eventually.ts";
import { startLossyProxy } from "../../../platform/testing/lossy-proxy.ts";
import { caught, importMutant } from "../../../platform/testing/mutant.ts";
import { createFaceWriter } from "../../shared/face-writer-redis.ts";
import { denyKey, galleryKeys, readElementName } from "../../shared/key-schema.ts";
import type * as definition from "../definition.ts";
import {
  administrator,
  anotherPictureOf,
  consent,
  newFace,
  outcomeOf,
  startMlops,
  type MlopsFixture,
} from "../mlops-fixture.ts";

setDefaultTimeout(60_000);

let service: MlopsFixture;
beforeAll(async () => {
  service = await startMlops();
});
afterAll(() => service[Symbol.asyncDispose]());

/** mlops with one rule broken, or ended at a place, which stands in the file `name`. */
async function brokenAt(name: string, from: string, to: string): Promise<ServiceInfo> {
  const { mlops } = await importMutant<typeof definition>(join(import.meta.dir, name), from, to, [
    join(import.meta.dir, "../definition.ts"),
  ]);
  return mlops;
}

/** Where a process ends in the midst of a change, and whether the change is then finished or undone. */
const ends: readonly (readonly [when: string, from: string, to: string, isDone: boolean])[] = [
  [
    "before the face store is written",
    "await deps.faces.put(planned.enrolment, prepared.faces);",
    'throw new Error("ended");',
    false,
  ],
  ["after the face store was written", "return saga.complete(tx, change);", 'throw new Error("ended");', true],
  [
    "before the change is committed",
    "return saga.complete(tx, change);",
    'await saga.complete(tx, change); throw new Error("ended");',
    true,
  ],
  [
    "before doors are told which gallery is active",
    "await doors.tell(outcome.branchIds);",
    'throw new Error("ended");',
    true,
  ],
];

/** Somebody is to be enrolled; a process ends while it does. */
async function endWhileEnrolling(from: string, to: string) {
  await using ended = await startMlops({ info: await brokenAt("rules.ts", from, to), url: service.url });
  const { modelId } = await service.newModel();
  const branchIds = [await service.newBranch(), await service.newBranch()].toSorted();
  const { id: memberId } = await service.signUp();
  const face = newFace();
  const request = { modelId, branchIds, memberId, embeddings: [face], consent, requestId: memberId };
  expect(await outcomeOf(ended.enrolments(administrator).enrolFace(request))).toBe("Unavailable OUTCOME_UNKNOWN");
  return request;
}

/** Faces in the face store, less those that are denied, as "enrolment count". */
async function storedFaces(branchId: string, modelId: string): Promise<readonly string[]> {
  const { client } = service.store;
  const { set, copy, names } = galleryKeys({ branchId, modelId, generation: 1 });
  const [copies, listed, inSet, denied] = await Promise.all([
    client.hkeys(copy),
    client.zrange(names, "0", "-1"),
    client.call("VRANGE", set, "-", "+") as Promise<string[]>,
    client.hkeys(denyKey(branchId)),
  ]);
  // All three say the same.
  expect(listed.toSorted()).toEqual(copies.toSorted());
  expect(inSet.toSorted()).toEqual(copies.toSorted());
  const shown = copies.map((name) => readElementName(name).enrolmentId).filter((id) => !denied.includes(id));
  return [...Map.groupBy(shown, (id) => id)].map(([id, faces]) => `${id} ${faces.length}`).toSorted();
}

/** Enrolments of a gallery as callers see them, as "enrolment count". */
async function knownFaces(branchId: string, modelId: string): Promise<readonly string[]> {
  const { enrolments } = await service.enrolments(administrator).listEnrolments({ branchId, pageSize: 1000 });
  return enrolments
    .filter((enrolment) => enrolment.modelId === modelId)
    .map(({ enrolmentId, embeddingCount }) => `${enrolmentId} ${embeddingCount}`)
    .toSorted();
}

/** What doors decide by at a branch. */
const activeAt = (branchId: string): Promise<string | undefined> =>
  createFaceWriter(service.store)
    .readActive(branchId)
    .then((active) => active?.modelId);

/** A sweep, by the service or by one with a rule broken, finishes or undoes what a process left that ended. */
async function checkSweep([, from, to, isDone]: (typeof ends)[number], info?: ServiceInfo): Promise<void> {
  const { modelId, branchIds, memberId } = await endWhileEnrolling(from, to);
  await using sweeping = await startMlops({ ...(info === undefined ? {} : { info }), url: service.url });
  await sweeping.sweep();
  for (const branchId of branchIds) {
    const known = await knownFaces(branchId, modelId);
    expect(known).toHaveLength(isDone ? 1 : 0);
    expect(await storedFaces(branchId, modelId)).toEqual(known);
    expect(await activeAt(branchId)).toBe(isDone ? modelId : undefined);
  }
  const told = (await service.events()).filter((event) => "memberId" in event && event.memberId === memberId);
  expect(told).toHaveLength(isDone ? 1 : 0);
  // Who was not enrolled can be now.
  const request = { modelId, branchIds, memberId, embeddings: [newFace()], consent };
  const outcome = await outcomeOf(service.enrolments(administrator).enrolFace(request));
  expect(outcome).toBe(isDone ? "AlreadyExists ENROLMENT_EXISTS" : "ok");
}

test.each<[string, string, string]>([
  ["that takes what is written for undone", "if (await isWritten(change, memberId, written))", "if (false)"],
  ["that takes what is not written for done", "if (await isWritten(change, memberId, written))", "if (true)"],
  [
    "that keeps who was not enrolled",
    "await enrolments.remove(tx, enrolmentId);",
    "await enrolments.end(tx, changeId);",
  ],
])("a mutant is caught: %s", async (_, from, to) => {
  const info = await brokenAt("saga.ts", from, to);
  await caught(async () => {
    for (const end of ends.slice(0, 2)) await checkSweep(end, info);
  });
});

describe.each(ends)("a process that ends %s", (when, from, to, isDone) => {
  test("leaves what a sweep finishes or undoes", () => checkSweep([when, from, to, isDone]));

  test("lets the same request have its result at once, and only once", async () => {
    const request = await endWhileEnrolling(from, to);
    const { enrolment } = await service.enrolments(administrator).enrolFace(request);
    const again = await service.enrolments(administrator).enrolFace(request);
    expect(again.enrolment).toEqual(enrolment as NonNullable<typeof enrolment>);
    for (const branchId of request.branchIds) {
      expect(await knownFaces(branchId, request.modelId)).toEqual([`${enrolment?.enrolmentId} 1`]);
      expect(await storedFaces(branchId, request.modelId)).toEqual([`${enrolment?.enrolmentId} 1`]);
      expect(await activeAt(branchId)).toBe(request.modelId);
    }
  });

  test("lets nobody else have a face that is written", async () => {
    const { modelId, branchIds, embeddings } = await endWhileEnrolling(from, to);
    const { id: memberId } = await service.signUp();
    const other = { modelId, branchIds: branchIds.slice(1), memberId, embeddings, consent };
    const outcome = await outcomeOf(service.enrolments(administrator).enrolFace(other));
    expect(outcome).toBe(isDone ? "AlreadyExists FACE_KNOWN" : "ok");
  });

  test("leaves faces that were added or replaced as before or after, and as is said of them", async () => {
    await using ended = await startMlops({ info: await brokenAt("rules.ts", from, to), url: service.url });
    const { enrolmentId, branchIds, modelId } = await service.enrol();
    const [branchId = ""] = branchIds;
    const { addEmbedding, replaceFace } = ended.enrolments(administrator);
    expect(await outcomeOf(addEmbedding({ enrolmentId, embedding: newFace() }))).toBe("Unavailable OUTCOME_UNKNOWN");
    await service.sweep();
    expect(await knownFaces(branchId, modelId)).toEqual([`${enrolmentId} ${isDone ? 2 : 1}`]);
    expect(await storedFaces(branchId, modelId)).toEqual([`${enrolmentId} ${isDone ? 2 : 1}`]);
    const embeddings = [newFace(), newFace(), newFace()];
    expect(await outcomeOf(replaceFace({ enrolmentId, embeddings }))).toBe("Unavailable OUTCOME_UNKNOWN");
    await service.sweep();
    expect(await knownFaces(branchId, modelId)).toEqual([`${enrolmentId} ${isDone ? 3 : 1}`]);
    expect(await storedFaces(branchId, modelId)).toEqual([`${enrolmentId} ${isDone ? 3 : 1}`]);
  });
});

/** Of a face that was given up nothing is found, even when its write comes late. */
async function checkLateWrite(info?: ServiceInfo): Promise<void> {
  const [, from, to] = ends[0] as (typeof ends)[number];
  const { modelId, branchIds, memberId, embeddings } = await endWhileEnrolling(from, to);
  await using sweeping = await startMlops({ ...(info === undefined ? {} : { info }), url: service.url });
  const [change] = await service.database.sql<{ enrolment_id: string }[]>`SELECT enrolment_id FROM face_changes`;
  const enrolmentId = change?.enrolment_id ?? "";
  await sweeping.sweep();
  // What was on its way arrives: a face of the same bytes, as another person's enrolment would have it.
  const probe = await service.enrol({ modelId, branchIds, embeddings });
  const { client } = service.store;
  const writer = createFaceWriter(service.store);
  for (const branchId of branchIds) {
    const gallery = { branchId, modelId, generation: 1 };
    const [copy] = await client.hvalsBuffer(galleryKeys(gallery).copy);
    const template = new Float32Array(new Uint8Array(copy as Buffer).buffer);
    await writer.put({ memberId, enrolmentId }, [{ gallery, templates: [template] }]);
    expect(await storedFaces(branchId, modelId)).toEqual([`${probe.enrolmentId} 1`]);
  }
}

describe("a face that was given up", () => {
  test("opens no door, even when its write comes late", () => checkLateWrite());

  test("mutant: that is only taken out is caught", async () => {
    const info = await brokenAt(
      "faces-redis.ts",
      "await writer.deny(enrolment.enrolmentId, branchIds, nowMs);",
      "void branchIds;",
    );
    await caught(() => checkLateWrite(info));
  });
});

/** Replies of the face store are lost one after the other; whatever comes of it, what is known and what is stored is the same. */
async function checkLostReplies(info?: ServiceInfo): Promise<void> {
  const proxied = new URL(service.redisUrl);
  using proxy = startLossyProxy(Number(proxied.port));
  proxied.port = `${proxy.port}`;
  const options = { redisUrl: proxied.href, url: service.url, ...(info === undefined ? {} : { info }) };
  await using cut = await startMlops(options);
  const model = await service.newModel();
  const { modelId } = model;
  const branchId = await service.newBranch();
  const enrolments = cut.enrolments(administrator);
  const seen = new Set<string>();
  const lose = async (spared: number, call: () => Promise<unknown>): Promise<void> => {
    // The connection that was cut is there again.
    await eventually(() => cut.models(administrator).registerFaceModel({ faceModel: model }));
    proxy.loseReply(spared);
    seen.add(await outcomeOf(call()));
    proxy.loseReply(Number.POSITIVE_INFINITY);
    await service.sweep();
    expect(await storedFaces(branchId, modelId)).toEqual(await knownFaces(branchId, modelId));
  };
  for (let spared = 0; spared < 6; spared += 1) {
    const { id: memberId } = await service.signUp();
    const request = { modelId, branchIds: [branchId], memberId, embeddings: [newFace()], consent };
    await lose(spared, () => enrolments.enrolFace(request));
    const { enrolments: made } = await service.enrolments(administrator).listEnrolments({ memberId });
    if (made[0] === undefined) expect(await outcomeOf(service.enrolments(administrator).enrolFace(request))).toBe("ok");
    const { enrolments: there } = await service.enrolments(administrator).listEnrolments({ memberId });
    const enrolmentId = there[0]?.enrolmentId ?? "";
    await lose(spared, () => enrolments.addEmbedding({ enrolmentId, embedding: newFace() }));
  }
  expect(proxy.lost()).toBeGreaterThan(6);
  expect([...seen].toSorted()).toEqual(["Unavailable OUTCOME_UNKNOWN", "Unavailable STORE_UNAVAILABLE", "ok"]);
}

describe("whatever reply of the face store is lost", () => {
  test("what is stored is what is known", () => checkLostReplies());

  test("mutant: that no change is recorded is caught", async () => {
    const info = await brokenAt("rules.ts", "await enrolments.begin(tx, change);", "");
    const whole = service;
    try {
      service = await startMlops({ info });
      await caught(() => checkLostReplies(info));
    } finally {
      await service[Symbol.asyncDispose]();
      service = whole;
    }
  });
});

const childFile = Bun.fileURLToPath(new URL("kill-child.ts", import.meta.url));

/** Runs a process that enrols people until it has printed so many lines, and kills it. Gives the lines. */
async function killAfter(lines: number, branchId: string, modelId: string): Promise<readonly string[]> {
  const child = Bun.spawn([process.execPath, childFile, service.url, service.redisUrl, branchId, modelId], {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "inherit",
  });
  let text = "";
  for await (const chunk of child.stdout) {
    text += Buffer.from(chunk).toString();
    if (text.split("\n").length > lines) child.kill("SIGKILL");
  }
  await child.exited;
  return text.split("\n").slice(0, -1);
}

test("a process that is killed at any moment leaves what is known and what is stored the same, and all that it acknowledged", async () => {
  const { modelId } = await service.newModel();
  const branchId = await service.newBranch();
  for (const lines of [3, 8, 14]) {
    const acknowledged = await killAfter(lines, branchId, modelId);
    expect(acknowledged.length).toBeGreaterThanOrEqual(lines);
    await service.sweep();
    const known = await knownFaces(branchId, modelId);
    expect(await storedFaces(branchId, modelId)).toEqual(known);
    const enrolled = new Set(known.map((line) => line.split(" ")[0]));
    const lost = acknowledged.map((line) => line.split(" ")[0]).filter((id) => !enrolled.has(id));
    expect(lost).toEqual([]);
  }
});

/** Of many people with one face one is enrolled. */
async function checkOneFace(on: MlopsFixture): Promise<void> {
  const { modelId } = await on.newModel();
  const branchIds = [await on.newBranch()];
  const face = newFace();
  const outcomes = await Promise.all(
    Array.from({ length: 12 }, async () => {
      const { id: memberId } = await on.signUp();
      const embeddings = [anotherPictureOf(face)];
      return outcomeOf(on.enrolments(administrator).enrolFace({ modelId, branchIds, memberId, embeddings, consent }));
    }),
  );
  expect(outcomes.filter((outcome) => outcome === "ok")).toHaveLength(1);
}

describe("a mutant is caught", () => {
  test.each([
    [
      "that holds no galleries",
      "../gallery/store-postgres.ts",
      "SELECT pg_advisory_xact_lock(key) FROM",
      "SELECT key FROM",
    ],
    ["that looks for no duplicates", "rules.ts", "score >= duplicateThreshold", "false"],
  ])("%s", async (_, name, from, to) => {
    await checkOneFace(service);
    await using mutant = await startMlops({ info: await brokenAt(name, from, to) });
    // Enrolments that do not wait for each other may come out right by chance.
    await caught(async () => {
      for (let round = 0; round < 20; round += 1) await checkOneFace(mutant);
    });
  });
});
