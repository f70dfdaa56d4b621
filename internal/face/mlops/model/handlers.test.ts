import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { GalleryState } from "../../../gen/muin/face/v1/face_model_pb.ts";
import { bytesOf } from "../../shared/embedding.ts";
import { createFaceWriter } from "../../shared/face-writer-redis.ts";
import { modelFields, readFaceModel } from "../../shared/gallery.ts";
import { modelKey } from "../../shared/key-schema.ts";
import {
  administrator,
  apiKeyWith,
  dimensions,
  newFace,
  newModel,
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

/** What doors are told of a model. */
async function toldOf(modelId: string) {
  return readFaceModel(modelId, await service.store.client.hmgetBuffer(modelKey(modelId), ...modelFields));
}

/** What the doors of a branch decide by. */
async function activeAt(branchId: string): Promise<string | undefined> {
  return (await createFaceWriter(service.store).readActive(branchId))?.modelId;
}

const stateNames = new Map<number, string>(
  Object.entries(GalleryState).map(([name, number]) => [number as number, name]),
);

/** The states of a branch's galleries, by model. */
async function statesAt(branchId: string): Promise<Readonly<Record<string, string>>> {
  const { galleries } = await service.models(administrator).listFaceModels({ branchId, pageSize: 1000 });
  return Object.fromEntries(galleries.map(({ modelId, state }) => [modelId, stateNames.get(state) ?? ""]));
}

/** A mean of the same numbers. */
const mean = (value: number) => new Uint8Array(bytesOf(new Float32Array(dimensions).fill(value)));

describe("a face model", () => {
  test("is registered with 512 dimensions where none are named, and doors know it", async () => {
    const given = newModel({
      modelId: "with-all",
      displayName: "Arc",
      mean: newFace(),
      targetFalsePositiveRate: 0.003,
    });
    const whole = await service.newModel(given);
    expect(whole).toMatchObject(given);
    const { faceModel } = await service.models(administrator).registerFaceModel({
      faceModel: { ...given, modelId: "default-dimensions", dimensions: 0, mean: new Uint8Array() },
    });
    expect(faceModel?.dimensions).toBe(512);
    expect(await toldOf("with-all")).toEqual({
      modelId: "with-all",
      dimensions,
      mean: new Float32Array(new Uint8Array(given.mean ?? []).buffer),
      threshold: 0.5,
      margin: 0.05,
      duplicateThreshold: 0.6,
      revision: 1,
    });
  });

  test("is registered once: the same again returns it, another of its id is refused", async () => {
    const given = newModel();
    const first = await service.newModel(given);
    expect(await service.newModel(given)).toEqual(first);
    expect(await outcomeOf(service.newModel({ ...given, threshold: 0.4 }))).toBe("AlreadyExists FACE_MODEL_EXISTS");
  });

  test.each([
    ["of another length", newFace(dimensions - 1), "must be 64 little-endian float32 values"],
    ["with NaN", new Uint8Array(bytesOf(new Float32Array(dimensions).fill(Number.NaN))), "must hold finite numbers"],
  ])("takes no mean %s", async (_, mean, description) => {
    expect(await violationOf(service.newModel({ mean }))).toContain(`face_model.mean: ${description}`);
  });

  test.each([
    { modelId: "Upper" },
    { dimensions: 63 },
    { dimensions: 2049 },
    { threshold: 0 },
    { margin: 1.1 },
    { duplicateThreshold: Number.NaN },
  ])("is refused with %p", async (wrong) => {
    expect(await outcomeOf(service.newModel(wrong))).toStartWith("InvalidArgument");
  });

  test("is calibrated, and doors know it at once", async () => {
    const { modelId } = await service.newModel();
    const numbers = { threshold: 0.7, margin: 0.1, duplicateThreshold: 0.8, targetFalsePositiveRate: 0.01 };
    const models = service.models(administrator);
    const { faceModel } = await models.calibrateFaceModel({ modelId, ...numbers });
    expect(faceModel).toMatchObject(numbers);
    expect(await toldOf(modelId)).toMatchObject({ threshold: 0.7, margin: 0.1, duplicateThreshold: 0.8, revision: 2 });
    await models.calibrateFaceModel({ modelId, ...numbers });
    expect((await toldOf(modelId))?.revision).toBe(2);
    expect(await outcomeOf(models.calibrateFaceModel({ modelId: "none", ...numbers }))).toBe(
      "NotFound FACE_MODEL_NOT_FOUND",
    );
  });

  test("is not registered by what would let everybody in", async () => {
    const models = service.models(administrator);
    const register = (content: Parameters<typeof newModel>[0]) =>
      models.registerFaceModel({ faceModel: newModel(content) });
    for (const wrong of [
      { threshold: 1e-300 },
      { threshold: 0.009 },
      { duplicateThreshold: 0.009 },
      { mean: mean(3e38) },
      { mean: mean(-1001) },
    ]) {
      expect(await outcomeOf(register(wrong))).toMatch(/^InvalidArgument/u);
    }
    expect(await violationOf(register({ mean: mean(1001) }))).toBe(
      "face_model.mean: must hold numbers of at most 1000 in size",
    );
    expect(await outcomeOf(register({ threshold: 0.01, mean: mean(1000) }))).toBe("ok");
    const { modelId } = await service.newModel();
    const calibration = { modelId, threshold: 0.001, margin: 0.05, duplicateThreshold: 0.6 };
    expect(await outcomeOf(models.calibrateFaceModel(calibration))).toMatch(/^InvalidArgument/u);
  });

  test("is listed in the order of ids, in pages", async () => {
    await using own = await startMlops();
    for (const modelId of ["b", "a", "c"]) await own.newModel({ modelId });
    const models = own.models(administrator);
    const first = await models.listFaceModels({ pageSize: 2 });
    const last = await models.listFaceModels({ pageSize: 2, pageToken: first.nextPageToken });
    expect([...first.faceModels, ...last.faceModels].map(({ modelId }) => modelId)).toEqual(["a", "b", "c"]);
    expect([last.nextPageToken, last.galleries]).toEqual(["", []]);
  });

  test("is nobody's who lacks the scope", async () => {
    const reader = service.models(apiKeyWith("faces.read"));
    expect(await outcomeOf(reader.listFaceModels({}))).toBe("ok");
    expect(await outcomeOf(reader.registerFaceModel({ faceModel: newModel() }))).toBe("PermissionDenied SCOPE_MISSING");
    expect(await outcomeOf(service.models(apiKeyWith()).listFaceModels({}))).toBe("PermissionDenied SCOPE_MISSING");
  });
});

describe("doors of a branch", () => {
  test("decide by the first model that is enrolled, by another when it is promoted, and by the former again", async () => {
    const models = service.models(administrator);
    const branchId = await service.newBranch();
    const [{ modelId: first }, { modelId: second }, { modelId: third }] = await Promise.all([
      service.newModel(),
      service.newModel(),
      service.newModel(),
    ]);
    expect(await activeAt(branchId)).toBeUndefined();
    for (const modelId of [first, second, third]) await service.enrol({ branchIds: [branchId], modelId });
    expect(await activeAt(branchId)).toBe(first);
    expect(await statesAt(branchId)).toEqual({ [first]: "ACTIVE", [second]: "STANDBY", [third]: "STANDBY" });

    const promote = (modelId: string) => models.promoteFaceModel({ branchId, modelId });
    const { gallery } = await promote(second);
    expect(gallery).toMatchObject({ branchId, modelId: second, state: GalleryState.ACTIVE, faceCount: 1n });
    expect(await promote(second)).toEqual({ $typeName: "muin.face.v1.PromoteFaceModelResponse", gallery } as never);
    expect(await activeAt(branchId)).toBe(second);
    expect(await statesAt(branchId)).toEqual({ [first]: "FORMER", [second]: "ACTIVE", [third]: "STANDBY" });
    await promote(third);
    expect(await statesAt(branchId)).toEqual({ [first]: "STANDBY", [second]: "FORMER", [third]: "ACTIVE" });

    const rollBack = (modelId: string) => models.rollBackFaceModel({ branchId, modelId });
    expect(await outcomeOf(rollBack(first))).toBe("Aborted ACTIVE_MODEL_CHANGED");
    expect((await rollBack(third)).gallery?.modelId).toBe(second);
    expect(await activeAt(branchId)).toBe(second);
    expect(await statesAt(branchId)).toEqual({ [first]: "STANDBY", [second]: "ACTIVE", [third]: "STANDBY" });
    // A repeat does nothing twice.
    expect(await outcomeOf(rollBack(third))).toBe("Aborted ACTIVE_MODEL_CHANGED");
    expect(await outcomeOf(rollBack(second))).toBe("FailedPrecondition NO_FORMER_MODEL");
  });

  test("decide by no model by which nobody is enrolled, and by none that there is not", async () => {
    const [branchId = ""] = (await service.enrol()).branchIds;
    const { modelId } = await service.newModel();
    const promote = (at: string, by: string) =>
      outcomeOf(service.models(administrator).promoteFaceModel({ branchId: at, modelId: by }));
    expect(await promote(branchId, modelId)).toBe("FailedPrecondition GALLERY_EMPTY");
    expect(await promote(branchId, "none")).toBe("NotFound FACE_MODEL_NOT_FOUND");
    expect(await promote("nowhere", modelId)).toBe("NotFound BRANCH_NOT_FOUND");
  });

  test("decide by one of two models that are promoted at once, whatever was first", async () => {
    const branchId = await service.newBranch();
    const [one, other] = await Promise.all([service.newModel(), service.newModel()]);
    for (const { modelId } of [one, other]) await service.enrol({ branchIds: [branchId], modelId });
    for (let round = 0; round < 5; round += 1) {
      await Promise.all(
        [one, other, one].map(({ modelId }) => service.models(administrator).promoteFaceModel({ branchId, modelId })),
      );
      const states = await statesAt(branchId);
      const active = Object.entries(states).find(([, state]) => state === "ACTIVE")?.[0];
      expect(await activeAt(branchId)).toBe(active as string);
    }
  });

  test("are told by a sweep what they could not be told", async () => {
    const { modelId, branchIds } = await service.enrol();
    const [branchId = ""] = branchIds;
    await service.database.sql`UPDATE active_galleries SET told_revision = 0 WHERE branch_id = ${branchId}`;
    await service.database.sql`UPDATE models SET told_revision = 0 WHERE model_id = ${modelId}`;
    await service.store.client.unlink(modelKey(modelId));
    await service.store.client.unlink(`{face}:g:active:${branchId}`);
    await service.sweep();
    expect([await activeAt(branchId), (await toldOf(modelId))?.revision]).toEqual([modelId, 1]);
  });
});
