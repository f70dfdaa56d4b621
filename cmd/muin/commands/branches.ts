import { noun } from "../terminal/command.ts";
import { close } from "./branches/close.ts";
import { create } from "./branches/create.ts";
import { get } from "./branches/get.ts";
import { hours } from "./branches/hours.ts";
import { list } from "./branches/list.ts";
import { open } from "./branches/open.ts";
import { owners } from "./branches/owners.ts";
import { reopen } from "./branches/reopen.ts";
import { staff } from "./branches/staff.ts";
import { transfer } from "./branches/transfer.ts";
import { tryRules } from "./branches/try.ts";
import { update } from "./branches/update.ts";

/** `muin branches`. */
export const branches = noun("branches", "branches: their owners, hours, entry rules and staff", [
  create,
  update,
  close,
  reopen,
  transfer,
  get,
  list,
  hours,
  open,
  tryRules,
  staff,
  owners,
]);
