import { type FaceModel, FaceModelSchema } from "../../../../../internal/gen/muin/face/v1/face_model_pb.ts";
import { FaceModelService } from "../../../../../internal/gen/muin/face/v1/face_model_service_pb.ts";
import { remoteCommand } from "../../../remote/remote-command.ts";
import { Failure } from "../../../terminal/failure.ts";
import { messageFromJson, readJson } from "../../../terminal/json-input.ts";
import type { Cli } from "../../../cli.ts";
import { modelShown } from "./model-shown.ts";

const details = `The file is JSON: {"model_id": "arc-r100", "dimensions": 512, "threshold": 0.4, "margin": 0.05, "duplicate_threshold": 0.6,
"mean": "<base64>"}. The mean, little-endian float32, is for networks whose embeddings all lie to one side: leave it out where they do
not. muin faces calibrate computes a threshold.`;

/** `muin faces models register`. */
export const register = remoteCommand({
  name: "register",
  description: "register a network that makes embeddings; the same again changes nothing",
  arguments: { file: { help: "what it is like, as JSON; - for standard input" } },
  details,
  examples: ["muin faces models register model.json", "muin faces model-of-embedder | muin faces models register -"],
  call: async ({ file }, { client, repeat, stdin }) => {
    const faceModel = await readModel(file, stdin);
    return (await repeat(() => client(FaceModelService).registerFaceModel({ faceModel }))).faceModel;
  },
  ...modelShown,
});

/** The model that a file of JSON defines. */
export async function readModel(file: string, stdin: Cli["stdin"]): Promise<FaceModel> {
  const json = await readJson(file, stdin);
  try {
    return messageFromJson(FaceModelSchema, json);
  } catch (error) {
    throw new Failure("usage", `${file} is no model: ${(error as Error).message}`);
  }
}
