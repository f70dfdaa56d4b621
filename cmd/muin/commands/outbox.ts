import { noun } from "../terminal/command.ts";
import { list } from "./outbox/list.ts";
import { redrive } from "./outbox/redrive.ts";

/** `muin outbox`. */
export const outbox = noun("outbox", "list and redrive events that the event bus refused", [list, redrive]);
