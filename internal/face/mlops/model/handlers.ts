import { create } from "@bufbuild/protobuf";
import type { ServiceImpl } from "@connectrpc/connect";
import { FaceModelSchema } from "../../../gen/muin/face/v1/face_model_pb.ts";
import type { FaceModelService } from "../../../gen/muin/face/v1/face_model_service_pb.ts";
import { orThrow } from "../../../platform/errors/refusal.ts";
import type { Sql } from "../../../platform/postgres/database.ts";
import { pageOf } from "../../../platform/resource/page-token.ts";
import type { GalleryRules } from "../gallery/rules.ts";
import type { GalleryStore } from "../gallery/store.ts";
import { toFaceModel, toGallery } from "./message.ts";
import type { ModelRules } from "./rules.ts";
import type { ModelStore } from "./store.ts";

/** Numbers in an embedding when a model names none. */
const dimensionsDefault = 512;

/** Serves face models, and by which of them doors decide. Who may call is said by the policies alone. */
export function createModelHandlers(deps: {
  readonly rules: ModelRules;
  readonly doors: Pick<GalleryRules, "promote" | "rollBack">;
  readonly sql: Sql;
  readonly models: Pick<ModelStore, "list">;
  readonly galleries: Pick<GalleryStore, "list">;
}): Omit<ServiceImpl<typeof FaceModelService>, "checkFaces" | "renewTemplates"> {
  const { rules, doors, sql, models, galleries } = deps;
  return {
    registerFaceModel: async ({ faceModel }) => {
      const { modelId, createTime: _, dimensions, ...content } = faceModel ?? create(FaceModelSchema);
      const registered = await rules.register(modelId, { ...content, dimensions: dimensions || dimensionsDefault });
      return { faceModel: toFaceModel(orThrow(registered)) };
    },

    listFaceModels: async ({ branchId, pageSize, pageToken }) => {
      const { page, nextPageToken } = await pageOf(
        ["faceModels", branchId],
        { pageToken, pageSize },
        (after, limit) => models.list(sql, after, limit),
        ({ modelId }) => modelId,
      );
      const ids = page.map(({ modelId }) => modelId);
      const shown = branchId === "" ? [] : await galleries.list(sql, branchId, ids);
      return { faceModels: page.map(toFaceModel), nextPageToken, galleries: shown.map(toGallery) };
    },

    calibrateFaceModel: async ({ modelId, threshold, margin, duplicateThreshold, targetFalsePositiveRate }) => {
      const calibration = { threshold, margin, duplicateThreshold, targetFalsePositiveRate };
      return { faceModel: toFaceModel(orThrow(await rules.calibrate(modelId, calibration))) };
    },

    promoteFaceModel: async ({ branchId, modelId }) => ({
      gallery: toGallery(orThrow(await doors.promote(branchId, modelId))),
    }),

    rollBackFaceModel: async ({ branchId, modelId }) => ({
      gallery: toGallery(orThrow(await doors.rollBack(branchId, modelId))),
    }),
  };
}
