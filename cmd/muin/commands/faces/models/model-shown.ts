import {
  type FaceModel,
  FaceModelSchema,
  type Gallery,
  GallerySchema,
  GalleryState,
} from "../../../../../internal/gen/muin/face/v1/face_model_pb.ts";
import { plain } from "../../../remote/plain-message.ts";
import { printFacts } from "../../../terminal/facts.ts";
import type { Output } from "../../../terminal/output.ts";
import { minuteText } from "../../../terminal/time-text.ts";

/** How a model that was registered or changed is shown. */
export const modelShown = {
  json: plain(FaceModelSchema),
  print: (model: FaceModel, output: Output): void =>
    printFacts(
      [
        ["id", model.modelId],
        ["name", model.displayName],
        ["dimensions", String(model.dimensions)],
        ["threshold", String(model.threshold)],
        ["margin", String(model.margin)],
        ["duplicates", String(model.duplicateThreshold)],
        ["target FPIR", model.targetFalsePositiveRate === 0 ? "" : String(model.targetFalsePositiveRate)],
        ["mean", model.mean.length === 0 ? "" : "is subtracted"],
        ["registered", minuteText(model.createTime)],
      ],
      output,
    ),
} as const;

/** How the gallery that doors decide by now is shown. */
export const galleryShown = {
  json: plain(GallerySchema),
  print: ({ branchId, modelId, faceCount }: Gallery, output: Output): void =>
    output.print(`the doors of branch ${branchId} decide by ${modelId}, among ${faceCount} faces`),
} as const;

const stateWords: Readonly<Record<GalleryState, string>> = {
  [GalleryState.UNSPECIFIED]: "unknown",
  [GalleryState.STANDBY]: "standby",
  [GalleryState.ACTIVE]: "active",
  [GalleryState.FORMER]: "former",
};

/** A gallery as one writes it: "active, 12 faces, generation 1"; empty without one. */
export function galleryText(gallery: Gallery | undefined): string {
  if (gallery === undefined) return "";
  return `${stateWords[gallery.state]}, ${gallery.faceCount} faces, generation ${gallery.generation}`;
}
