import type { UserStatusChanged, UserUpdated } from "../../../gen/muin/identity/v1/user_events_pb.ts";
import { UserStatus } from "../../../gen/muin/identity/v1/user_pb.ts";
import type { Clock } from "../../../platform/clock/clock.ts";
import { isUuid } from "../../../platform/clock/random.ts";
import type { Database, Transaction } from "../../../platform/postgres/database.ts";
import type { Delivery } from "../../../platform/service/delivery.ts";
import { eventVersion, isNewer } from "../../../platform/service/event-version.ts";
import type { PersonalData } from "../../../platform/service/parts.ts";
import { authItself } from "../audit/client.ts";
import type { Action, AuditStore } from "../audit/store.ts";
import { publishUserDataErased, type AuthPublish } from "../events.ts";
import { roleOf } from "../../shared/role.ts";
import type { ScopeStore } from "../scope/store.ts";
import { endApiKeysOf } from "../api-key/rules.ts";
import type { ApiKeyStore } from "../api-key/store.ts";
import { endEntryPassesOf } from "../entry-pass/rules.ts";
import type { EntryPassStore } from "../entry-pass/store.ts";
import type { Sessions } from "../session/rules.ts";
import type { Account, AccountStore } from "./store.ts";

/** What auth makes of the news that user tells of people. An event that is not newer than the copy changes nothing. */
export interface People {
  /** Takes over the roles, all of them. Tokens carry what they give from the next refresh on. */
  rolesChanged(event: UserUpdated, delivery: Delivery): Promise<void>;
  /**
   * Suspended: every session ends and none begins, and their API keys and entry passes end for good. Active again: sign-in works. Deleted: all
   * that auth holds of the person goes, but the key of their data, which user has destroyed in the end, and ids in the audit log; then UserDataErased.
   */
  statusChanged(event: UserStatusChanged, delivery: Delivery): Promise<void>;
}

/** What the news changes: the copies in a database, and what follows from them. */
interface PeopleDeps {
  readonly database: Database;
  readonly accounts: Pick<AccountStore, "lock" | "setStatus" | "raiseRolesVersion">;
  readonly scopes: Pick<ScopeStore, "setRoles">;
  readonly audit: Pick<AuditStore, "append">;
  readonly apiKeys: Pick<ApiKeyStore, "lockOfOwner" | "revoke">;
  readonly entryPasses: Pick<EntryPassStore, "lockAlive" | "revoke">;
  readonly personalData: Pick<PersonalData, "erase">;
  readonly publish: AuthPublish;
  readonly sessions: Pick<Sessions, "endAll">;
  readonly clock: Clock;
}

/** Copies what user tells of people into a database. */
export function createPeople(deps: PeopleDeps): People {
  const { database, accounts, scopes, clock } = deps;
  return {
    rolesChanged: async ({ userId, roleAssignments, aggregateVersion }, delivery) => {
      if (!isUuid(userId)) return;
      await database.transaction(async (tx) => {
        // Known already, or the person is erased. The version tells a repeat: no inbox is needed.
        if (!(await accounts.raiseRolesVersion(tx, userId, eventVersion(delivery, aggregateVersion)))) return;
        const roles = roleAssignments.flatMap(({ role, branchId }) => {
          const name = roleOf(role);
          return name === undefined ? [] : [{ role: name, branchId }];
        });
        await scopes.setRoles(tx, userId, roles, clock.now());
      });
    },

    statusChanged: async (event, delivery) => {
      const { userId, status } = event;
      if (!isUuid(userId)) return;
      await delivery.once(database, async (tx) => {
        const account = await accounts.lock(tx, userId);
        switch (status) {
          case UserStatus.ACTIVE:
            return takeStatus(tx, deps, account, false, event, delivery);
          case UserStatus.SUSPENDED:
            return takeStatus(tx, deps, account, true, event, delivery);
          case UserStatus.DELETED:
            return erase(tx, deps, account, event); // Nothing follows it, so it is never outdated.
          case UserStatus.UNSPECIFIED:
          default:
            return; // A status that this version does not know changes nothing here.
        }
      });
    },
  };
}

async function takeStatus(
  tx: Transaction,
  deps: PeopleDeps,
  account: Account | undefined,
  isSuspended: boolean,
  { userId, aggregateVersion, principal }: UserStatusChanged,
  delivery: Delivery,
): Promise<void> {
  const version = eventVersion(delivery, aggregateVersion);
  if (account === undefined || !isNewer(version, account.statusVersion)) return;
  await deps.accounts.setStatus(tx, userId, isSuspended, version);
  const client = { ...authItself, principal: actorOf(principal) };
  if (isSuspended) await deps.sessions.endAll(tx, userId);
  if (isSuspended) await endEntryPassesOf(tx, { ...deps, store: deps.entryPasses }, userId, client);
  // A key that lived on, since it is from before keys had owners, does not come back with its owner either.
  if (isSuspended || account.isSuspended) {
    await endApiKeysOf(tx, { ...deps, store: deps.apiKeys }, userId, client);
  }
  await record(tx, deps, isSuspended ? "SUSPEND_PERSON" : "ADMIT_PERSON", userId, principal);
}

async function erase(
  tx: Transaction,
  deps: PeopleDeps,
  account: Account | undefined,
  { userId, aggregateVersion, principal }: UserStatusChanged,
): Promise<void> {
  await deps.personalData.erase(tx, userId);
  if (account !== undefined) await record(tx, deps, "ERASE_PERSON", userId, principal);
  // Whoever asks again, when the account is gone, is told again.
  await publishUserDataErased(tx, deps.publish, userId, aggregateVersion, deps.clock.now());
}

/** Who had user do it; auth itself when nobody asked for it. */
function actorOf(by: string): string {
  return by === "" ? authItself.principal : by;
}

async function record(tx: Transaction, deps: PeopleDeps, action: Action, userId: string, by: string): Promise<void> {
  const act = {
    action,
    outcome: "DONE",
    client: authItself,
    principal: actorOf(by),
    subject: `person:${userId}`,
  } as const;
  await deps.audit.append(tx, act, deps.clock.now());
}
