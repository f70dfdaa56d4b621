import { noun } from "../terminal/command.ts";
import { embed } from "./faces/embed.ts";
import { modelOfEmbedder } from "./faces/model-of-embedder.ts";

/** `muin faces`. */
export const faces = noun("faces", "faces that open doors: embeddings of photographs", [embed, modelOfEmbedder]);
