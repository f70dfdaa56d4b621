import { noun } from "../terminal/command.ts";
import { remove } from "./users/delete.ts";
import { erasure } from "./users/erasure.ts";
import { exportData } from "./users/export.ts";
import { get } from "./users/get.ts";
import { invitations } from "./users/invitations.ts";
import { invite } from "./users/invite.ts";
import { list } from "./users/list.ts";
import { membership } from "./users/membership.ts";
import { reactivate } from "./users/reactivate.ts";
import { resetTotp } from "./users/reset-totp.ts";
import { role } from "./users/role.ts";
import { scopes } from "./users/scopes.ts";
import { suspend } from "./users/suspend.ts";
import { update } from "./users/update.ts";

/** `muin users`. */
export const users = noun(
  "users",
  "list, read, invite, change, suspend and delete people; give them roles, scopes and memberships",
  [
    list,
    get,
    invite,
    invitations,
    update,
    role,
    scopes,
    membership,
    suspend,
    reactivate,
    resetTotp,
    exportData,
    remove,
    erasure,
  ],
);
