import { noun } from "../../terminal/command.ts";
import { get } from "./scopes/get.ts";
import { grant } from "./scopes/grant.ts";
import { list } from "./scopes/list.ts";
import { revoke } from "./scopes/revoke.ts";

/** `muin users scopes`. */
export const scopes = noun(
  "scopes",
  "list, give and take back scopes; a change shows in a person's tokens within 15 minutes",
  [list, get, grant, revoke],
);
