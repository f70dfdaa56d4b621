import { noun } from "../../terminal/command.ts";
import { assign } from "./role/assign.ts";
import { unassign } from "./role/unassign.ts";

/** `muin users role`. */
export const role = noun("role", "give and take roles", [assign, unassign]);
