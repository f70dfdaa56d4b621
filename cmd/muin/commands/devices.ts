import { noun } from "../terminal/command.ts";
import { activate } from "./devices/activate.ts";
import { list } from "./devices/list.ts";
import { register } from "./devices/register.ts";
import { revoke } from "./devices/revoke.ts";
import { token } from "./devices/token.ts";

/** `muin devices`. */
export const devices = noun(
  "devices",
  "register, list and revoke devices at doors; on a device: activate it and get its token",
  [register, activate, token, list, revoke],
);
