import type { Clock } from "../../../platform/clock/clock.ts";
import { isUuid } from "../../../platform/clock/random.ts";
import type { Database } from "../../../platform/postgres/database.ts";
import { pageOf } from "../../../platform/resource/page-token.ts";
import { emailSubject } from "../account/email.ts";
import type { ClientInfo } from "../audit/client.ts";
import type { AuditStore } from "../audit/store.ts";
import type { Vault } from "../secret/vault.ts";
import type { Invited, NewcomerStore } from "./store.ts";

/** The invitations that are open, wherever people are invited no longer too. */
export interface Invitations {
  /** A page of them, newest first. */
  list(request: {
    readonly pageSize: number;
    readonly pageToken: string;
  }): Promise<{ readonly page: readonly Invited[]; readonly nextPageToken: string }>;
  /** Ends one, with its token and the mail that has not gone out; false, without effect, for one that is not open. */
  withdraw(invitationId: string, client: ClientInfo): Promise<boolean>;
}

/** The invitations of a database. */
export function createInvitations(deps: {
  readonly database: Database;
  readonly newcomers: Pick<NewcomerStore, "listInvited" | "lock" | "remove">;
  readonly audit: Pick<AuditStore, "append">;
  readonly vault: Vault;
  readonly clock: Clock;
}): Invitations {
  const { database, newcomers, audit, vault, clock } = deps;
  return {
    list: (request) =>
      pageOf(
        ["ListInvitations"],
        request,
        (beforeId, limit) => newcomers.listInvited(database.sql, { beforeId, nowMs: clock.now() }, limit),
        ({ newcomerId }) => newcomerId,
        isUuid,
      ),

    withdraw: async (invitationId, client) => {
      if (!isUuid(invitationId)) return false;
      return database.transaction(async (tx) => {
        const invited = await newcomers.lock(tx, invitationId);
        // Who signed up has a password, and is nobody's to withdraw.
        if (invited === undefined || invited.passwordHash !== undefined) return false;
        if (invited.expireTimeMs <= clock.now()) return false;
        await newcomers.remove(tx, invitationId);
        const act = { action: "WITHDRAW_INVITATION", outcome: "DONE", client } as const;
        await audit.append(tx, { ...act, subject: emailSubject(vault, invited.email) }, clock.now());
        return true;
      });
    },
  };
}
