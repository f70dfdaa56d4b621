import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import {
  FaceModelSchema,
  GallerySchema,
  GalleryState,
  type FaceModel,
  type Gallery,
} from "../../../gen/muin/face/v1/face_model_pb.ts";
import type { CountedGallery } from "../gallery/store.ts";
import type { StoredModel } from "./store.ts";

/** A model as callers see it. */
export function toFaceModel(stored: StoredModel): FaceModel {
  const { modelId, displayName, dimensions, threshold, margin, duplicateThreshold, targetFalsePositiveRate } = stored;
  return create(FaceModelSchema, {
    modelId,
    displayName,
    dimensions,
    threshold,
    margin,
    duplicateThreshold,
    targetFalsePositiveRate,
    mean: new Uint8Array(stored.mean),
    createTime: timestampFromMs(stored.createTimeMs),
  });
}

/** A gallery as callers see it. */
export function toGallery(stored: CountedGallery): Gallery {
  const { branchId, modelId, generation, faceCount, state, updateTimeMs } = stored;
  return create(GallerySchema, {
    branchId,
    modelId,
    generation,
    faceCount: BigInt(faceCount),
    state: GalleryState[state],
    updateTime: timestampFromMs(updateTimeMs),
  });
}
