import { embedderModel } from "../../embedder/model.ts";
import { localCommand } from "../../terminal/command.ts";

/** `muin faces model-of-embedder`. */
export const modelOfEmbedder = localCommand({
  name: "model-of-embedder",
  description: "print the model of which faces embed makes embeddings, to be registered",
  examples: ["muin faces model-of-embedder | muin faces models register -"],
  run: (_, { output }) => output.json(embedderModel),
});
