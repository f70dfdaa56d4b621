import { UserStatus } from "../../../gen/muin/identity/v1/user_pb.ts";
import type { UserStatusChanged, UserUpdated } from "../../../gen/muin/identity/v1/user_events_pb.ts";
import type { Delivery } from "../../../platform/service/delivery.ts";
import type { Clock } from "../../../platform/clock/clock.ts";
import type { Database, Transaction } from "../../../platform/postgres/database.ts";
import { emailSubject } from "./rules.ts";
import { authItself, recordAct, type Action } from "../audit/log.ts";
import { publishUserDataErased, type AuthPublish } from "../events.ts";
import { isUuid } from "../request.ts";
import { roleOf } from "../scope/role.ts";
import type { Sessions } from "../session/rules.ts";
import type { Vault } from "../secret/vault.ts";

/** What auth makes of the news that user tells of people. An event that is not newer than the copy changes nothing. */
export interface People {
  /** Takes over the roles, all of them. Tokens carry what they give from the next refresh on. */
  rolesChanged(event: UserUpdated, delivery: Delivery): Promise<void>;
  /**
   * Suspended: every session ends and none begins. Active again: sign-in works. Deleted: all that auth holds of the person goes,
   * but the key of their data, which user has destroyed in the end, and ids in the audit log; then UserDataErased.
   */
  statusChanged(event: UserStatusChanged, delivery: Delivery): Promise<void>;
}

/** Makes the rules. */
export function createPeople(deps: {
  readonly database: Database;
  readonly publish: AuthPublish;
  readonly vault: Vault;
  readonly sessions: Sessions;
  readonly clock: Clock;
}): People {
  const { database, publish, vault, sessions, clock } = deps;

  const erase = async (tx: Transaction, userId: string, email: string): Promise<void> => {
    await sessions.endAll(tx, userId);
    await tx`DELETE FROM outgoing_mails WHERE user_id = ${userId}`;
    await tx`DELETE FROM accounts WHERE user_id = ${userId}`; // All that refers to it goes with it.
    const principal = `person:${userId}`;
    await tx`
      UPDATE audit_log SET address = '', user_agent = ''
      WHERE principal = ${principal} OR subject = ${emailSubject(vault, email)}`;
  };
  /** `by` is who had user do it; empty when nobody asked for it. */
  const record = (tx: Transaction, action: Action, userId: string, by: string): Promise<void> => {
    const principal = by === "" ? authItself.principal : by;
    const act = { action, outcome: "DONE", client: authItself, principal, subject: `person:${userId}` } as const;
    return recordAct(tx, act, clock.now());
  };

  return {
    rolesChanged: async ({ userId, roleAssignments, aggregateVersion }, delivery) => {
      if (!isUuid(userId)) return;
      await delivery.once(database, async (tx) => {
        const newer = await tx`
          UPDATE accounts SET roles_version = ${aggregateVersion.toString()}
          WHERE user_id = ${userId} AND roles_version < ${aggregateVersion.toString()} RETURNING user_id`;
        if (newer.length === 0) return; // Known already, or the person is erased.
        await tx`DELETE FROM role_assignments WHERE user_id = ${userId}`;
        for (const { role, branchId } of roleAssignments) {
          const name = roleOf(role);
          if (name === undefined) continue;
          await tx`
            INSERT INTO role_assignments (user_id, role, branch_id, create_time)
            VALUES (${userId}, ${name}, ${branchId}, ${new Date(clock.now())}) ON CONFLICT DO NOTHING`;
        }
      });
    },

    statusChanged: async ({ userId, status, aggregateVersion, principal }, delivery) => {
      if (!isUuid(userId)) return;
      await delivery.once(database, async (tx) => {
        const [account] = await tx<{ email: string; status_version: string }[]>`
          SELECT email, status_version FROM accounts WHERE user_id = ${userId} FOR UPDATE`;
        const isNewer = account !== undefined && BigInt(account.status_version) < aggregateVersion;
        switch (status) {
          case UserStatus.ACTIVE:
          case UserStatus.SUSPENDED: {
            if (!isNewer) return;
            const isSuspended = status === UserStatus.SUSPENDED;
            await tx`
              UPDATE accounts
              SET status = ${isSuspended ? "SUSPENDED" : "ACTIVE"}, status_version = ${aggregateVersion.toString()}
              WHERE user_id = ${userId}`;
            if (isSuspended) await sessions.endAll(tx, userId);
            return record(tx, isSuspended ? "SUSPEND_PERSON" : "ADMIT_PERSON", userId, principal);
          }
          case UserStatus.DELETED:
            // Nothing follows it, so it is never outdated. Whoever asks again, when the account is gone, is told again.
            if (account !== undefined) {
              await erase(tx, userId, account.email);
              await record(tx, "ERASE_PERSON", userId, principal);
            }
            return publishUserDataErased(tx, publish, userId, aggregateVersion, clock.now());
          case UserStatus.UNSPECIFIED:
          default:
            return; // A status that this version does not know changes nothing here.
        }
      });
    },
  };
}
