import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { FaceModelService } from "../../../gen/muin/face/v1/face_model_service_pb.ts";
import { createFaceWriter } from "../../shared/face-writer-redis.ts";
import { changesKey, elementName, galleryKeys, readElementName } from "../../shared/key-schema.ts";
import { operator, startErasure, type Enrolled, type ErasureFixture } from "../erasure/erasure-fixture.ts";

setDefaultTimeout(60_000);

let faces: ErasureFixture;
beforeAll(async () => {
  faces = await startErasure();
});
afterAll(() => faces[Symbol.asyncDispose]());

/** All that a check of a branch finds, added up; what is nothing is left out. */
async function check(branchId: string, mend: boolean): Promise<Record<string, unknown>> {
  const found: Record<string, unknown> = {};
  for (let pageToken = "", isFirst = true; isFirst || pageToken !== ""; isFirst = false) {
    const reply = await faces.as(FaceModelService, operator).checkFaces({ branchId, mend, pageToken });
    pageToken = reply.nextPageToken;
    for (const {
      $typeName: _,
      branchId: __,
      modelId: ___,
      generation: ____,
      lostEnrolmentIds,
      ...counts
    } of reply.checks) {
      for (const [name, count] of Object.entries(counts)) {
        const sum = Number(found[name] ?? 0) + Number(count);
        if (sum > 0) found[name] = sum;
      }
      if (lostEnrolmentIds.length > 0) found["lostEnrolmentIds"] = lostEnrolmentIds;
    }
  }
  return found;
}

const galleryOf = (branchId: string) => ({ branchId, modelId: "arc", generation: 1 });
const nameOf = ({ memberId, enrolmentId }: Enrolled): string => elementName({ memberId, enrolmentId, index: 0 });

/** Another picture of a face. */
function near({ embeddings: [embedding = new Uint8Array()] }: Enrolled): Uint8Array {
  const floats = new Float32Array(embedding.slice().buffer);
  floats[0] = (floats[0] ?? 0) + 0.05;
  return new Uint8Array(floats.buffer);
}

describe("a check of faces", () => {
  test("finds nothing where nothing is wrong, after enrolments, replacements and erasures", async () => {
    const branchIds = [await faces.newBranch()];
    const [one, other] = [await faces.enrol({ branchIds }), await faces.enrol({ branchIds })];
    const third = await faces.enrol({ branchIds });
    await faces.enrolments().addEmbedding({ enrolmentId: one.enrolmentId, embedding: near(one) });
    await faces.enrolments().replaceFace({ enrolmentId: other.enrolmentId, embeddings: [near(other), near(other)] });
    await faces.enrolments().eraseFace({ enrolmentId: third.enrolmentId });
    await faces.withBackground(async () => {
      while ((await faces.erasureOf(third)).receipt === "") await faces.store.client.ping();
    });
    expect(await check(branchIds[0] ?? "", true)).toEqual({ enrolmentsChecked: 2 });
  });
  test.each<
    [what: string, spoil: (face: Enrolled, branchId: string) => Promise<unknown>, found: Record<string, unknown>]
  >([
    [
      "a face that is not searched",
      (face, branchId) => faces.store.client.call("VREM", galleryKeys(galleryOf(branchId)).set, nameOf(face)),
      { enrolmentsRepaired: 1 },
    ],
    [
      "a face that is searched as another",
      async (face, branchId) => {
        const { set } = galleryKeys(galleryOf(branchId));
        await faces.store.client.call("VREM", set, nameOf(face));
        const numbers = Array.from({ length: 64 }, (_, place) => (place === 0 ? 1 : 0.1));
        await faces.store.client.call("VADD", set, "VALUES", 64, ...numbers, nameOf(face), "Q8", "M", 4);
      },
      { enrolmentsRepaired: 1 },
    ],
    [
      "a face that is not listed",
      (face, branchId) => faces.store.client.zrem(galleryKeys(galleryOf(branchId)).names, nameOf(face)),
      { enrolmentsRepaired: 1 },
    ],
    [
      "a removal that was told and is not so",
      (face, branchId) =>
        faces.store.client.xadd(
          changesKey,
          "*",
          "kind",
          "remove",
          "branch",
          branchId,
          "model",
          "arc",
          "generation",
          1,
          "member",
          face.memberId,
          "enrolment",
          face.enrolmentId,
        ),
      { changesRepaired: 1 },
    ],
  ])("mends %s from the copies", async (_, spoil, found) => {
    const face = await faces.enrol();
    const [branchId = ""] = face.branchIds;
    await spoil(face, branchId);
    const differs = { enrolmentsChecked: 1, ...found };
    expect(await check(branchId, false)).toEqual(differs);
    expect(await check(branchId, true)).toEqual(differs);
    expect(await check(branchId, true)).toEqual({ enrolmentsChecked: 1 });
    expect(await faces.lookUp(face)).toBe("GRANTED");
  });

  test("names whose copies are lost, and finds them no more by what is left", async () => {
    const face = await faces.enrol();
    const [branchId = ""] = face.branchIds;
    await faces.store.client.hdel(galleryKeys(galleryOf(branchId)).copy, nameOf(face));
    const lost = { enrolmentsChecked: 1, enrolmentsLost: 1, lostEnrolmentIds: [face.enrolmentId] };
    expect(await check(branchId, true)).toMatchObject(lost);
    expect(await faces.store.client.exists(galleryKeys(galleryOf(branchId)).set)).toBe(0);
    expect(await check(branchId, true)).toEqual(lost);
  });

  test("takes out faces that are not those that were written last, and then names whose they were", async () => {
    const branchIds = [await faces.newBranch()];
    const face = await faces.enrol({ branchIds });
    const { enrolmentId } = face;
    const [branchId = ""] = branchIds;
    const gallery = galleryOf(branchId);
    const before = await faces.store.client.hgetBuffer(galleryKeys(gallery).copy, nameOf(face));
    const after = await faces.newFace(branchIds);
    await faces.enrolments().replaceFace({ enrolmentId, embeddings: [...after.embeddings] });
    const templates = [new Float32Array(new Uint8Array(before ?? []).buffer)];
    await createFaceWriter(faces.store).put(face, [{ gallery, templates }]);
    expect(await faces.lookUp(face)).toBe("GRANTED");
    const differs = { enrolmentsChecked: 1, enrolmentsRepaired: 1 };
    expect([await check(branchId, false), await check(branchId, true)]).toEqual([differs, differs]);
    expect(await faces.lookUp(face)).toBe("DENIED");
    const lost = { enrolmentsChecked: 1, enrolmentsLost: 1, lostEnrolmentIds: [enrolmentId] };
    expect(await check(branchId, true)).toEqual(lost);
  });

  test("removes who was erased, and of whom nothing is known", async () => {
    const [stays, erased] = [await faces.enrol(), await faces.enrol()];
    const [branchId = ""] = stays.branchIds;
    await faces.enrolments().eraseFace({ enrolmentId: erased.enrolmentId });
    const writer = createFaceWriter(faces.store);
    const templates = [Float32Array.from({ length: 64 }, () => 0.125)];
    await writer.put(erased, [{ gallery: galleryOf(branchId), templates }]);
    await writer.put({ memberId: "nobody", enrolmentId: "none" }, [{ gallery: galleryOf(branchId), templates }]);
    const found = { enrolmentsChecked: 1, erasedRemoved: 1, unknownRemoved: 1 };
    expect(await check(branchId, false)).toEqual(found);
    expect(await check(branchId, true)).toEqual(found);
    expect(await check(branchId, true)).toEqual({ enrolmentsChecked: 1 });
    const names = await faces.store.client.zrange(galleryKeys(galleryOf(branchId)).names, "0", "-1");
    expect(names.map((name) => readElementName(name).enrolmentId)).toEqual([stays.enrolmentId]);
  });

  test("of all branches goes on where it ended", async () => {
    const all = await check("", false);
    expect(Number(all["enrolmentsChecked"])).toBeGreaterThanOrEqual(8);
  });
});
