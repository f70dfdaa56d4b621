import { FaceModelSchema, GallerySchema } from "../../../../../internal/gen/muin/face/v1/face_model_pb.ts";
import { FaceModelService } from "../../../../../internal/gen/muin/face/v1/face_model_service_pb.ts";
import { plainMessage } from "../../../remote/plain-message.ts";
import { remoteCommand } from "../../../remote/remote-command.ts";
import { galleryText } from "./model-shown.ts";

/** `muin faces models list`. */
export const list = remoteCommand({
  name: "list",
  description: "list models; with a branch, which of them its doors decide by",
  options: { branch: { value: "branch-id", help: "show the faces of this branch too" } },
  examples: ["muin faces models list", "muin faces models list --branch 0199c5f2-6f0c-7aa0-8d6e-0a4f3a6b1c55"],
  read: async ({ branch = "" }, { client }, page) => {
    const { faceModels, galleries, nextPageToken } = await client(FaceModelService).listFaceModels({
      branchId: branch,
      ...page,
    });
    const entries = faceModels.map((model) => ({
      model,
      gallery: galleries.find(({ modelId }) => modelId === model.modelId),
    }));
    return { entries, nextPageToken };
  },
  json: ({ model, gallery }) => ({
    ...plainMessage(FaceModelSchema, model),
    ...(gallery === undefined ? {} : { gallery: plainMessage(GallerySchema, gallery) }),
  }),
  columns: {
    MODEL: ({ model }) => model.modelId,
    DIMENSIONS: ({ model }) => String(model.dimensions),
    THRESHOLD: ({ model }) => String(model.threshold),
    MARGIN: ({ model }) => String(model.margin),
    "AT THE BRANCH": ({ gallery }) => galleryText(gallery),
    NAME: ({ model }) => model.displayName,
  },
  none: "there are no models",
});
