import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { AccountDataSchema } from "../../../gen/muin/identity/v1/account_data_pb.ts";
import { isUuid } from "../../../platform/clock/random.ts";
import type { Clock } from "../../../platform/clock/clock.ts";
import type { Database } from "../../../platform/postgres/database.ts";
import { personalData, type PersonalData } from "../../../platform/service/parts.ts";
import { personalJson } from "../../../shared/person/personal-json.ts";
import { emailSubject } from "../account/email.ts";
import { apiKeyMessageOf } from "../api-key/handlers.ts";
import { endApiKeysOf } from "../api-key/rules.ts";
import type { ApiKeyStore } from "../api-key/store.ts";
import type { AccountStore } from "../account/store.ts";
import { authItself } from "../audit/client.ts";
import type { AuditStore } from "../audit/store.ts";
import { recordOf } from "../enrolment/handlers.ts";
import { exportedPassOf } from "../entry-pass/handlers.ts";
import { endEntryPassesOf } from "../entry-pass/rules.ts";
import type { EntryPassStore } from "../entry-pass/store.ts";
import type { AuthPublish } from "../events.ts";
import type { EnrolmentStore } from "../enrolment/store.ts";
import type { FactorStore } from "../factor/store.ts";
import type { MailStore } from "../mail/store.ts";
import type { NewcomerStore } from "../newcomer/store.ts";
import type { ScopeStore } from "../scope/store.ts";
import type { Vault } from "../secret/vault.ts";
import type { Sessions } from "../session/rules.ts";
import type { SessionStore } from "../session/store.ts";

/** Of each kind of data, a copy holds at most so many. */
const exportedMax = 1000;

/**
 * All that auth holds of a person: a copy of it is an AccountData as JSON, without hashes, keys and tokens. Erased, all of it is gone
 * but the key of their data, which user has destroyed in the end, and ids in the audit log.
 */
export function createPersonalData(deps: {
  readonly database: Pick<Database, "sql">;
  readonly accounts: Pick<AccountStore, "find" | "lock" | "remove">;
  readonly sessionStore: Pick<SessionStore, "listAll">;
  readonly sessions: Pick<Sessions, "endAll">;
  readonly factors: Pick<FactorStore, "find">;
  readonly scopes: Pick<ScopeStore, "find">;
  readonly apiKeys: Pick<ApiKeyStore, "listOfOwner" | "lockOfOwner" | "revoke">;
  readonly entryPasses: Pick<EntryPassStore, "listOfPerson" | "lockAlive" | "revoke">;
  readonly audit: Pick<AuditStore, "listOfPerson" | "blank" | "append">;
  readonly publish: AuthPublish;
  readonly clock: Clock;
  readonly enrolments: Pick<EnrolmentStore, "list">;
  readonly mailStore: Pick<MailStore, "removeOfPerson">;
  readonly newcomers: Pick<NewcomerStore, "removeByEmail">;
  readonly vault: Vault;
}): PersonalData {
  const { accounts, sessionStore, sessions, factors, scopes, apiKeys, audit, enrolments, mailStore } = deps;
  const { newcomers, vault, entryPasses } = deps;
  return personalData({
    exportOf: async (userId) => {
      const { sql } = deps.database;
      const account = isUuid(userId) ? await accounts.find(sql, userId) : undefined;
      if (account === undefined) return undefined;
      const { email, displayName, createTimeMs, emailVerifyTimeMs } = account;
      return personalJson(AccountDataSchema, {
        email,
        displayName,
        createTime: timestampFromMs(createTimeMs),
        ...(emailVerifyTimeMs === undefined ? {} : { emailVerifyTime: timestampFromMs(emailVerifyTimeMs) }),
        totpEnabled: (await factors.find(sql, userId))?.isConfirmed === true,
        grantedScopes: (await scopes.find(sql, userId)).granted.toSorted(),
        sessions: (await sessionStore.listAll(sql, userId, exportedMax)).map((session) => ({
          sessionId: session.sessionId,
          userAgent: session.userAgent,
          address: session.address,
          createTime: timestampFromMs(session.createTimeMs),
          useTime: timestampFromMs(session.useTimeMs),
          expireTime: timestampFromMs(session.expireTimeMs),
        })),
        acts: (await audit.listOfPerson(sql, userId, exportedMax)).map((record) => ({
          action: record.action,
          outcome: record.outcome,
          subject: record.subject,
          address: record.address,
          userAgent: record.userAgent,
          time: timestampFromMs(record.createTimeMs),
        })),
        apiKeys: (await apiKeys.listOfOwner(sql, userId, exportedMax)).map(apiKeyMessageOf),
        entryPasses: (await entryPasses.listOfPerson(sql, userId, exportedMax)).map(exportedPassOf),
        enrolments: (await enrolments.list(sql, userId, "", exportedMax)).map(recordOf),
      });
    },

    erase: async (tx, userId) => {
      const account = await accounts.lock(tx, userId);
      if (account === undefined) return;
      await sessions.endAll(tx, userId);
      await endApiKeysOf(tx, { ...deps, store: apiKeys }, userId, authItself);
      await endEntryPassesOf(tx, { ...deps, store: entryPasses }, userId, authItself);
      await mailStore.removeOfPerson(tx, userId);
      await newcomers.removeByEmail(tx, account.email); // Who signed up with the address of an account gets none, but stays for days.
      await accounts.remove(tx, userId); // All that refers to it goes with it; passes stay as nobody's.
      await audit.blank(tx, userId, emailSubject(vault, account.email));
    },
  });
}
