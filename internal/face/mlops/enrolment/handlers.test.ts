import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { ConnectError } from "@connectrpc/connect";
import { ErrorInfoSchema } from "../../../gen/google/rpc/error_details_pb.ts";
import type { FaceVectorCreated } from "../../../gen/muin/face/v1/enrolment_events_pb.ts";
import { GalleryState } from "../../../gen/muin/face/v1/face_model_pb.ts";
import { systemClock } from "../../../platform/clock/clock.ts";
import { systemRandom } from "../../../platform/clock/random.ts";
import { bytesOf } from "../../shared/embedding.ts";
import { galleryKeys } from "../../shared/key-schema.ts";
import {
  administrator,
  anotherPictureOf,
  consent,
  dimensions,
  newFace,
  outcomeOf,
  startMlops,
  violationOf,
  type MlopsFixture,
} from "../mlops-fixture.ts";

setDefaultTimeout(30_000);

let service: MlopsFixture;
beforeAll(async () => {
  service = await startMlops();
});
afterAll(() => service[Symbol.asyncDispose]());

/** A request that is good, of a new person at a new branch by a new model. */
async function newRequest() {
  const [{ modelId }, branchId, { id: memberId }] = await Promise.all([
    service.newModel(),
    service.newBranch(),
    service.signUp(),
  ]);
  return { modelId, branchIds: [branchId], memberId, embeddings: [newFace()], consent };
}

/** Faces of a gallery: in the vector set, and as copies. */
async function facesIn(branchId: string, modelId: string): Promise<readonly number[]> {
  const { set, copy } = galleryKeys({ branchId, modelId, generation: 1 });
  const { client } = service.store;
  return [Number(await client.call("VCARD", set)), await client.hlen(copy)];
}

const floats = (...values: readonly number[]): Uint8Array =>
  new Uint8Array(bytesOf(Float32Array.from({ length: dimensions }, (_, place) => values[place] ?? 0)));

/** A consent of a time. */
const at = (timeMs: number) => ({ consent: { textVersion: "1", time: timestampFromMs(timeMs) } });

describe("EnrolFace", () => {
  test("enrols at all branches, tells auth without the face, and opens their doors", async () => {
    const request = await newRequest();
    const other = await service.newBranch();
    const before = (await service.events()).length;
    const { enrolment } = await service.enrolments(administrator).enrolFace({
      ...request,
      branchIds: [other, ...request.branchIds],
      embeddings: [newFace(), newFace()],
    });
    const branchIds = [other, ...request.branchIds].toSorted();
    expect(enrolment).toMatchObject({
      memberId: request.memberId,
      modelId: request.modelId,
      branchIds,
      embeddingCount: 2,
      consent,
      consentRecorder: administrator.principal,
    });
    const events = (await service.events()).slice(before) as FaceVectorCreated[];
    expect(events).toHaveLength(1);
    expect(events[0]).toMatchObject({
      $typeName: "muin.face.v1.FaceVectorCreated",
      enrolmentId: enrolment?.enrolmentId,
      memberId: request.memberId,
      branchIds,
      modelId: request.modelId,
      consent,
      aggregateVersion: 1n,
    });
    for (const branchId of branchIds) {
      expect(await facesIn(branchId, request.modelId)).toEqual([2, 2]);
      const { galleries } = await service.models(administrator).listFaceModels({ branchId, pageSize: 1000 });
      expect(galleries).toMatchObject([
        { branchId, modelId: request.modelId, state: GalleryState.ACTIVE, faceCount: 2n, generation: 1 },
      ]);
    }
  });

  test.each<[string, () => Uint8Array, string]>([
    ["of a wrong length", () => new Uint8Array(dimensions * 4 - 4), "must be 64 little-endian float32 values"],
    ["with NaN", () => floats(1, Number.NaN), "must hold finite numbers"],
    ["with an infinity", () => floats(1, -Infinity), "must hold finite numbers"],
    ["that is zero", () => floats(), "has no direction"],
  ])("refuses an embedding %s, and tells nothing of it", async (_, embedding, description) => {
    const request = { ...(await newRequest()), embeddings: [newFace(), embedding()] };
    const enrolling = service.enrolments(administrator).enrolFace(request);
    expect(await outcomeOf(enrolling)).toBe("InvalidArgument EMBEDDING_INVALID");
    expect(await violationOf(enrolling)).toContain(`embeddings[1]: ${description}`);
    expect(await facesIn(request.branchIds[0] ?? "", request.modelId)).toEqual([0, 0]);
  });

  test("refuses an embedding that is the model's mean, and takes one that is not", async () => {
    const mean = newFace();
    const { modelId } = await service.newModel({ mean });
    const request = { ...(await newRequest()), modelId };
    const enrol = (embeddings: readonly Uint8Array[]) =>
      outcomeOf(service.enrolments(administrator).enrolFace({ ...request, embeddings: [...embeddings] }));
    expect(await enrol([mean])).toBe("InvalidArgument EMBEDDING_INVALID");
    expect(await enrol([floats()])).toBe("InvalidArgument EMBEDDING_INVALID");
    expect(await enrol([newFace()])).toBe("ok");
  });

  test("refuses what it does not know, and who has not consented", async () => {
    const request = await newRequest();
    const enrol = (change: object) => outcomeOf(service.enrolments(administrator).enrolFace({ ...request, ...change }));
    expect(await enrol({ branchIds: [...request.branchIds, "nowhere"] })).toBe("NotFound BRANCH_NOT_FOUND");
    expect(await enrol({ modelId: "unheard-of" })).toBe("NotFound FACE_MODEL_NOT_FOUND");
    expect(await enrol({ memberId: "nobody" })).toBe("NotFound USER_NOT_FOUND");
    for (const none of [undefined, {}, { textVersion: "1" }, { time: consent.time }]) {
      expect(await enrol({ consent: none })).toBe("InvalidArgument CONSENT_REQUIRED");
    }
    const nowMs = systemClock.now();
    for (const wrong of [Date.parse("0001-01-01T00:00:00Z"), Date.UTC(2000, 0, 1) - 1, nowMs + 120_000]) {
      expect(await outcomeOf(service.enrolments(administrator).enrolFace({ ...request, ...at(wrong) }))).toBe(
        "InvalidArgument FIELD_INVALID",
      );
    }
    expect(await enrol(at(nowMs))).toBe("ok");
    expect(await enrol({ embeddings: [newFace()] })).toBe("AlreadyExists ENROLMENT_EXISTS");
  });

  test("refuses another person's face of one of the branches, names nobody, and takes it elsewhere", async () => {
    const first = await newRequest();
    await service.enrol(first);
    const again = { ...first, memberId: (await service.signUp()).id };
    const [face] = first.embeddings;
    if (face === undefined) throw new Error("a request has a face");
    const enrol = (change: object) => outcomeOf(service.enrolments(administrator).enrolFace({ ...again, ...change }));
    const elsewhere = await service.newBranch();
    expect(await enrol({})).toBe("AlreadyExists FACE_KNOWN");
    expect(await enrol({ embeddings: [newFace(), anotherPictureOf(face)] })).toBe("AlreadyExists FACE_KNOWN");
    expect(await enrol({ branchIds: [elsewhere, ...first.branchIds] })).toBe("AlreadyExists FACE_KNOWN");
    const refused = service.enrolments(administrator).enrolFace(again);
    const error = await refused.catch((failure: unknown) => ConnectError.from(failure));
    const said = Bun.inspect([error, error instanceof ConnectError && error.findDetails(ErrorInfoSchema)]);
    expect(said).toContain("FACE_KNOWN");
    expect(said).not.toContain(first.memberId);
    expect(await enrol({ branchIds: [elsewhere] })).toBe("ok");
  });

  test("takes another person's face when who manages all faces overrides it, and records who did", async () => {
    const owner = await service.signUp();
    const branchId = await service.newBranch({ owner });
    const first = await service.enrol({ branchIds: [branchId], embeddings: [newFace()] });
    const { modelId } = first;
    const face = newFace();
    await service.enrol({ branchIds: [branchId], modelId, embeddings: [face] });
    const again = {
      branchIds: [branchId],
      modelId,
      memberId: (await service.signUp()).id,
      embeddings: [face],
      consent,
      overrideDuplicate: true,
    };
    expect(await outcomeOf(service.enrolments(owner).enrolFace(again))).toBe("PermissionDenied SCOPE_MISSING");
    const { enrolment } = await service.enrolments(administrator).enrolFace(again);
    // One that overrides nothing is none.
    await service.enrol({ branchIds: [branchId], modelId, overrideDuplicate: true });
    const overrides = await service.database.sql<{ enrolment_id: string; principal: string }[]>`
      SELECT enrolment_id, principal FROM duplicate_overrides`;
    expect([...overrides]).toEqual([
      { enrolment_id: enrolment?.enrolmentId ?? "", principal: administrator.principal },
    ]);
  });

  test("gives a repeated request the first reply, and refuses another of its id", async () => {
    const request = { ...(await newRequest()), requestId: "request-1" };
    const { enrolFace } = service.enrolments(administrator);
    const [first, ...others] = await Promise.all(Array.from({ length: 4 }, () => enrolFace(request)));
    expect(others).toEqual([first, first, first] as typeof others);
    expect(await enrolFace(request)).toEqual(first as NonNullable<typeof first>);
    const changed = { ...request, embeddings: [newFace()] };
    expect(await outcomeOf(enrolFace(changed))).toBe("InvalidArgument REQUEST_ID_REUSED");
    // What was refused is not remembered.
    const unknown = { ...(await newRequest()), memberId: "nobody", requestId: "request-2" };
    expect(await outcomeOf(enrolFace(unknown))).toBe("NotFound USER_NOT_FOUND");
    expect(await outcomeOf(enrolFace({ ...unknown, memberId: (await service.signUp()).id }))).toBe("ok");
  });

  test("lets exactly one of many people have a face, at overlapping branches", async () => {
    const { modelId } = await service.newModel();
    const branchIds = await Promise.all([service.newBranch(), service.newBranch(), service.newBranch()]);
    const face = newFace();
    const enrolments = service.enrolments(administrator);
    const outcomes = await Promise.all(
      Array.from({ length: 50 }, async (_, place) => {
        const { id: memberId } = await service.signUp();
        // All meet at the first one, and name it first or last.
        const others = [branchIds[1 + (place % 2)] ?? ""];
        const at = place % 3 === 0 ? [branchIds[0] ?? "", ...others] : [...others, branchIds[0] ?? ""];
        const picture = anotherPictureOf(face);
        return outcomeOf(enrolments.enrolFace({ modelId, branchIds: at, memberId, embeddings: [picture], consent }));
      }),
    );
    expect(outcomes.toSorted()).toEqual([...Array.from({ length: 49 }, () => "AlreadyExists FACE_KNOWN"), "ok"]);
    expect(await facesIn(branchIds[0] ?? "", modelId)).toEqual([1, 1]);
  });
});

describe("AddEmbedding and ReplaceFace", () => {
  test("add faces up to ten, and put others in their place", async () => {
    const { enrolmentId, modelId, branchIds } = await service.enrol();
    const [branchId = ""] = branchIds;
    const enrolments = service.enrolments(administrator);
    for (let count = 2; count <= 10; count += 1) {
      const { enrolment } = await enrolments.addEmbedding({ enrolmentId, embedding: newFace() });
      expect(enrolment?.embeddingCount).toBe(count);
    }
    expect(await facesIn(branchId, modelId)).toEqual([10, 10]);
    const eleventh = enrolments.addEmbedding({ enrolmentId, embedding: newFace() });
    expect(await outcomeOf(eleventh)).toBe("FailedPrecondition TOO_MANY_EMBEDDINGS");
    const before = (await service.events()).length;
    const { enrolment } = await enrolments.replaceFace({ enrolmentId, embeddings: [newFace(), newFace()] });
    expect(enrolment?.embeddingCount).toBe(2);
    expect(await facesIn(branchId, modelId)).toEqual([2, 2]);
    expect((await service.events()).slice(before)).toMatchObject([{ enrolmentId, aggregateVersion: 11n }]);
    expect(await enrolments.getEnrolment({ enrolmentId })).toEqual({
      $typeName: "muin.face.v1.GetEnrolmentResponse",
      enrolment,
    });
  });

  test("keep the faces that there are, and take those of before out", async () => {
    const [face, other, third] = [newFace(), newFace(), newFace()];
    const { enrolmentId, modelId, branchIds } = await service.enrol({ embeddings: [face] });
    const enrolments = service.enrolments(administrator);
    const knows = async (picture: Uint8Array<ArrayBuffer>): Promise<boolean> => {
      const { id: memberId } = await service.signUp();
      const request = { modelId, branchIds, memberId, embeddings: [anotherPictureOf(picture)], consent };
      return (await outcomeOf(enrolments.enrolFace(request))) === "AlreadyExists FACE_KNOWN";
    };
    await enrolments.addEmbedding({ enrolmentId, embedding: other });
    expect([await knows(face), await knows(other)]).toEqual([true, true]);
    await enrolments.replaceFace({ enrolmentId, embeddings: [third] });
    expect([await knows(third), await knows(face), await knows(other)]).toEqual([true, false, false]);
  });

  test("refuse another person's face, what is no face, and what there is not", async () => {
    const face = newFace();
    const known = await service.enrol({ embeddings: [face] });
    const { branchIds, modelId } = known;
    const { enrolmentId } = await service.enrol({ branchIds, modelId });
    const enrolments = service.enrolments(administrator);
    const add = (embedding: Uint8Array, of = enrolmentId) =>
      outcomeOf(enrolments.addEmbedding({ enrolmentId: of, embedding }));
    const replace = (embeddings: Uint8Array[], of = enrolmentId) =>
      outcomeOf(enrolments.replaceFace({ enrolmentId: of, embeddings }));
    expect([await add(anotherPictureOf(face)), await replace([newFace(), face])]).toEqual([
      "AlreadyExists FACE_KNOWN",
      "AlreadyExists FACE_KNOWN",
    ]);
    expect([await add(floats()), await replace([floats(1, Number.NaN)])]).toEqual([
      "InvalidArgument EMBEDDING_INVALID",
      "InvalidArgument EMBEDDING_INVALID",
    ]);
    expect([await add(newFace(), "none"), await replace([newFace()], "none")]).toEqual([
      "NotFound ENROLMENT_NOT_FOUND",
      "NotFound ENROLMENT_NOT_FOUND",
    ]);
    // A person's own face is theirs.
    expect(await add(anotherPictureOf(face), known.enrolmentId)).toBe("ok");
  });

  test("do once what is asked for twice", async () => {
    const { enrolmentId } = await service.enrol();
    const enrolments = service.enrolments(administrator);
    const request = { enrolmentId, embedding: newFace(), requestId: "added-once" };
    const first = await enrolments.addEmbedding(request);
    expect(first.enrolment?.embeddingCount).toBe(2);
    expect(await enrolments.addEmbedding(request)).toEqual(first);
    const replaced = { enrolmentId, embeddings: [newFace()], requestId: "added-once" };
    expect(await outcomeOf(enrolments.replaceFace(replaced))).toBe("InvalidArgument REQUEST_ID_REUSED");
  });
});

test("a repeat of a request whose face was erased meanwhile is refused, and brings nothing back", async () => {
  const request = { ...(await newRequest()), requestId: systemRandom.uuid() };
  const { enrolFace, addEmbedding, replaceFace, eraseFace, listEnrolments } = service.enrolments(administrator);
  const { enrolment: { enrolmentId } = { enrolmentId: "" } } = await enrolFace(request);
  const added = { enrolmentId, embedding: newFace(), requestId: systemRandom.uuid() };
  const replaced = { enrolmentId, embeddings: [newFace()], requestId: systemRandom.uuid() };
  await addEmbedding(added);
  await replaceFace(replaced);
  await eraseFace({ enrolmentId });
  expect([
    await outcomeOf(enrolFace(request)),
    await outcomeOf(addEmbedding(added)),
    await outcomeOf(replaceFace(replaced)),
  ]).toEqual(Array.from({ length: 3 }, () => "FailedPrecondition ENROLMENT_ERASED"));
  expect((await listEnrolments({ memberId: request.memberId })).enrolments).toEqual([]);
  expect(await outcomeOf(enrolFace({ ...request, requestId: systemRandom.uuid() }))).toBe("ok");
});

test("ListEnrolments lists by branch and person, in pages", async () => {
  const branchId = await service.newBranch();
  const { modelId } = await service.newModel();
  const made = [];
  for (let count = 0; count < 3; count += 1) made.push(await service.enrol({ branchIds: [branchId], modelId }));
  const enrolments = service.enrolments(administrator);
  const first = await enrolments.listEnrolments({ branchId, pageSize: 2 });
  const last = await enrolments.listEnrolments({ branchId, pageSize: 2, pageToken: first.nextPageToken });
  expect([...first.enrolments, ...last.enrolments]).toEqual(
    made.toSorted((one, other) => (one.enrolmentId < other.enrolmentId ? -1 : 1)),
  );
  expect(last.nextPageToken).toBe("");
  const memberId = made[1]?.memberId ?? "";
  expect((await enrolments.listEnrolments({ memberId })).enrolments).toEqual(made.slice(1, 2));
  expect((await enrolments.listEnrolments({ memberId, branchId: "nowhere" })).enrolments).toEqual([]);
});

test("all enrolments are told again at their versions", async () => {
  await using own = await startMlops();
  const { enrolmentId } = await own.enrol();
  await own.enrolments(administrator).addEmbedding({ enrolmentId, embedding: newFace() });
  const other = await own.enrol();
  const before = (await own.events()).length;
  expect(await own.republish("face.enrolment")).toBe(2);
  const told = (await own.events()).slice(before) as FaceVectorCreated[];
  expect(new Map(told.map((event) => [event.enrolmentId, event.aggregateVersion]))).toEqual(
    new Map([
      [enrolmentId, 2n],
      [other.enrolmentId, 1n],
    ]),
  );
});
