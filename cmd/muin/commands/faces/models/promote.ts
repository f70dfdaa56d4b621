import { FaceModelService } from "../../../../../internal/gen/muin/face/v1/face_model_service_pb.ts";
import { remoteCommand } from "../../../remote/remote-command.ts";
import { galleryShown } from "./model-shown.ts";

/** `muin faces models promote`. */
export const promote = remoteCommand({
  name: "promote",
  description: "make a branch's doors decide by a model from now on; no call is refused meanwhile",
  arguments: { modelId: { help: "the model" } },
  options: { branch: { value: "branch-id", help: "the branch", required: true } },
  examples: ["muin faces models promote arc-r100 --branch 0199c5f2-6f0c-7aa0-8d6e-0a4f3a6b1c55"],
  call: async ({ modelId, branch: branchId }, { client, repeat }) =>
    (await repeat(() => client(FaceModelService).promoteFaceModel({ branchId, modelId }))).gallery,
  ...galleryShown,
});
