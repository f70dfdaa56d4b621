import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { ServiceImpl } from "@connectrpc/connect";
import type { AccountDataSchema, AccountService } from "../../../gen/muin/identity/v1/account_service_pb.ts";
import { isUuid } from "../../../platform/clock/random.ts";
import { afterOf, pageTokenOf } from "../../../platform/resource/page-token.ts";
import type { AuditStore } from "../audit/store.ts";
import { recordOf } from "../enrolment/handlers.ts";
import type { EnrolmentStore } from "../enrolment/store.ts";
import type { FactorStore } from "../factor/store.ts";
import type { ScopeStore } from "../scope/store.ts";
import type { SessionStore } from "../session/store.ts";
import { republishAccounts, type RepublishDeps } from "./republish.ts";
import type { AccountStore } from "./store.ts";

/** Of each kind of data, a copy holds at most so many. */
const exportedMax = 1000;

/** Every store that keeps something of a person. */
export interface AccountDataDeps extends RepublishDeps {
  readonly accounts: Pick<AccountStore, "find" | "ids" | "lockAll">;
  readonly sessions: Pick<SessionStore, "listAll">;
  readonly factors: Pick<FactorStore, "find">;
  readonly scopes: Pick<ScopeStore, "find">;
  readonly audit: Pick<AuditStore, "listOfPerson">;
  readonly enrolments: Pick<EnrolmentStore, "list">;
}

const republishQuery = ["RepublishAccounts"];

/** Serves what other services may know of accounts. */
export function createAccountDataHandlers(deps: AccountDataDeps): ServiceImpl<typeof AccountService> {
  return {
    exportAccountData: async ({ userId }) => {
      const account = isUuid(userId) ? await exportAccount(deps, userId) : undefined;
      return account === undefined ? {} : { account };
    },
    republishAccounts: async ({ pageToken }) => {
      const { recorded, last } = await republishAccounts(deps, afterOf(republishQuery, pageToken, isUuid));
      return { republished: recorded, nextPageToken: last === "" ? "" : pageTokenOf(republishQuery, last) };
    },
  };
}

/** All that is kept of a person, but for hashes, keys and tokens; `undefined` without an account. */
async function exportAccount(
  { database, accounts, sessions, factors, scopes, audit, enrolments }: AccountDataDeps,
  userId: string,
): Promise<MessageInitShape<typeof AccountDataSchema> | undefined> {
  const { sql } = database;
  const account = await accounts.find(sql, userId);
  if (account === undefined) return undefined;
  const { email, displayName, createTimeMs, emailVerifyTimeMs } = account;
  return {
    email,
    displayName,
    createTime: timestampFromMs(createTimeMs),
    ...(emailVerifyTimeMs === undefined ? {} : { emailVerifyTime: timestampFromMs(emailVerifyTimeMs) }),
    totpEnabled: (await factors.find(sql, userId))?.isConfirmed === true,
    grantedScopes: (await scopes.find(sql, userId)).granted.toSorted(),
    sessions: (await sessions.listAll(sql, userId, exportedMax)).map((session) => ({
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
    enrolments: (await enrolments.list(sql, userId, "", exportedMax)).map(recordOf),
  };
}
