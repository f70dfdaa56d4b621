import { noun } from "../terminal/command.ts";
import { list } from "./audit/list.ts";

/** `muin audit`. */
export const audit = noun("audit", "look at the log of acts that matter to security", [list]);
