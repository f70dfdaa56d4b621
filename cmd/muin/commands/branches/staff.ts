import { noun } from "../../terminal/command.ts";
import { add } from "./staff/add.ts";
import { list } from "./staff/list.ts";
import { remove } from "./staff/remove.ts";

/** `muin branches staff`. */
export const staff = noun("staff", "who works for a branch", [list, add, remove]);
