import { noun } from "../../terminal/command.ts";
import { get } from "./owners/get.ts";
import { list } from "./owners/list.ts";
import { register } from "./owners/register.ts";
import { update } from "./owners/update.ts";

/** `muin branches owners`. */
export const owners = noun("owners", "people who may own branches", [register, update, get, list]);
