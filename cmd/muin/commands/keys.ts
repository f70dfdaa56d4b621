import { noun } from "../terminal/command.ts";
import { create } from "./keys/create.ts";
import { list } from "./keys/list.ts";
import { revoke } from "./keys/revoke.ts";

/** `muin keys`. */
export const keys = noun("keys", "create, list and revoke API keys", [create, list, revoke]);
