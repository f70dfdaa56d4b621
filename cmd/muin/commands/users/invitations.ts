import { noun } from "../../terminal/command.ts";
import { list } from "./invitations/list.ts";
import { withdraw } from "./invitations/withdraw.ts";

/** `muin users invitations`. */
export const invitations = noun("invitations", "list and withdraw invitations that are open", [list, withdraw]);
