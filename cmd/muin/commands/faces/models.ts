import { noun } from "../../terminal/command.ts";
import { list } from "./models/list.ts";
import { promote } from "./models/promote.ts";
import { register } from "./models/register.ts";
import { renew } from "./models/renew.ts";
import { rollBack } from "./models/roll-back.ts";

/** `muin faces models`. */
export const models = noun("models", "networks that make embeddings, and which of them each branch's doors decide by", [
  register,
  list,
  promote,
  rollBack,
  renew,
]);
