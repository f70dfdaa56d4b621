import { noun } from "../terminal/command.ts";
import { create } from "./counts/create.ts";
import { dec } from "./counts/dec.ts";
import { remove } from "./counts/delete.ts";
import { get } from "./counts/get.ts";
import { importFile } from "./counts/import.ts";
import { inc } from "./counts/inc.ts";
import { list } from "./counts/list.ts";
import { set } from "./counts/set.ts";
import { undelete } from "./counts/undelete.ts";
import { verify } from "./counts/verify.ts";

/** `muin counts`. */
export const counts = noun("counts", "create, change, read, import and verify Counts", [
  create,
  inc,
  dec,
  set,
  get,
  list,
  importFile,
  verify,
  remove,
  undelete,
]);
