import { noun } from "../terminal/command.ts";
import { calibrate } from "./faces/calibrate.ts";
import { check } from "./faces/check.ts";
import { embed } from "./faces/embed.ts";
import { enrol } from "./faces/enrol.ts";
import { erase } from "./faces/erase.ts";
import { erasure } from "./faces/erasure.ts";
import { get } from "./faces/get.ts";
import { importFile } from "./faces/import.ts";
import { list } from "./faces/list.ts";
import { modelOfEmbedder } from "./faces/model-of-embedder.ts";
import { models } from "./faces/models.ts";
import { replace } from "./faces/replace.ts";

/** `muin faces`. */
export const faces = noun(
  "faces",
  "faces that open doors: enrol and erase them, take over galleries, calibrate their models",
  [enrol, replace, get, list, erase, erasure, importFile, models, calibrate, check, embed, modelOfEmbedder],
);
