import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import type { ServiceImpl } from "@connectrpc/connect";
import { AccountDataSchema, type AccountService } from "../../../gen/muin/identity/v1/account_service_pb.ts";
import { recordOf } from "../enrolment/handlers.ts";
import type { Enrolments } from "../enrolment/rules.ts";
import { republishPage, type RepublishDeps } from "./republish.ts";
import { idOfPage, isUuid } from "../request.ts";

/** Of each kind of data, a copy holds at most so many. */
const exportedMax = 1000;

/** What serving accounts to other services needs. */
export interface AccountDataDeps extends RepublishDeps {
  readonly enrolments: Pick<Enrolments, "list">;
}

/** Serves what other services may know of accounts. */
export function createAccountDataHandlers(deps: AccountDataDeps): ServiceImpl<typeof AccountService> {
  return {
    exportAccountData: async ({ userId }) => {
      const account = isUuid(userId) ? await exportAccount(deps, userId) : undefined;
      return account === undefined ? {} : { account };
    },
    republishAccounts: async ({ pageToken }) => {
      const { count, last } = await republishPage(deps, idOfPage(pageToken) ?? "");
      return { republished: count, nextPageToken: last };
    },
  };
}

/** All that is kept of a person, but for hashes, keys and tokens. */
async function exportAccount(
  { database, enrolments }: AccountDataDeps,
  userId: string,
): Promise<MessageInitShape<typeof AccountDataSchema> | undefined> {
  const { sql } = database;
  const [account] = await sql<AccountRow[]>`
    SELECT email, display_name, create_time, email_verify_time,
      EXISTS (SELECT 1 FROM totp_factors t WHERE t.user_id = a.user_id AND confirm_time IS NOT NULL) AS totp_enabled,
      ARRAY(SELECT scope FROM scope_grants g WHERE g.user_id = a.user_id ORDER BY scope) AS granted_scopes
    FROM accounts a WHERE user_id = ${userId}`;
  if (account === undefined) return undefined;
  const sessions = await sql<SessionRow[]>`
    SELECT session_id, user_agent, address, create_time, use_time, COALESCE(end_time, expire_time) AS expire_time
    FROM sessions WHERE user_id = ${userId} ORDER BY create_time DESC, session_id LIMIT ${exportedMax}`;
  const principal = `person:${userId}`;
  // Where somebody else acted from is theirs.
  const acts = await sql<ActRow[]>`
    SELECT action, outcome, subject, create_time,
      CASE principal WHEN ${principal} THEN address ELSE '' END AS address,
      CASE principal WHEN ${principal} THEN user_agent ELSE '' END AS user_agent
    FROM audit_log WHERE principal = ${principal} OR subject = ${principal}
    ORDER BY audit_id DESC LIMIT ${exportedMax}`;
  return {
    email: account.email,
    displayName: account.display_name,
    createTime: timestampFromDate(account.create_time),
    ...(account.email_verify_time === null ? {} : { emailVerifyTime: timestampFromDate(account.email_verify_time) }),
    totpEnabled: account.totp_enabled,
    grantedScopes: account.granted_scopes,
    sessions: sessions.map((row) => ({
      sessionId: row.session_id,
      userAgent: row.user_agent,
      address: row.address,
      createTime: timestampFromDate(row.create_time),
      useTime: timestampFromDate(row.use_time),
      expireTime: timestampFromDate(row.expire_time),
    })),
    acts: acts.map(({ action, outcome, subject, address, user_agent, create_time }) => ({
      action,
      outcome,
      subject,
      address,
      userAgent: user_agent,
      time: timestampFromDate(create_time),
    })),
    enrolments: (await enrolments.list(userId, exportedMax, "")).map(recordOf),
  };
}

interface AccountRow {
  readonly email: string;
  readonly display_name: string;
  readonly create_time: Date;
  readonly email_verify_time: Date | null;
  readonly totp_enabled: boolean;
  readonly granted_scopes: string[];
}

interface SessionRow {
  readonly session_id: string;
  readonly user_agent: string;
  readonly address: string;
  readonly create_time: Date;
  readonly use_time: Date;
  readonly expire_time: Date;
}

interface ActRow {
  readonly action: string;
  readonly outcome: string;
  readonly subject: string;
  readonly address: string;
  readonly user_agent: string;
  readonly create_time: Date;
}
