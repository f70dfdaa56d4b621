import { noun } from "../terminal/command.ts";
import { list } from "./dead-letters/list.ts";
import { redrive } from "./dead-letters/redrive.ts";

/** `muin dead-letters`. */
export const deadLetters = noun("dead-letters", "list and redrive events that a consumer gave up on", [list, redrive]);
