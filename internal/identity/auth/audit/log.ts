import type { Sql } from "../../../platform/postgres/database.ts";
import type { ClientInfo } from "./client.ts";

const detailCharsMax = 512;

/** Acts that the audit log records. */
export type Action =
  | "SIGN_UP"
  | "SIGN_IN"
  | "SIGN_OUT"
  | "REFRESH"
  | "REVOKE_SESSION"
  | "CHANGE_PASSWORD"
  | "CREATE_API_KEY"
  | "REVOKE_API_KEY"
  | "REGISTER_DEVICE"
  | "ACTIVATE_DEVICE"
  | "ISSUE_DEVICE_TOKEN"
  | "REVOKE_DEVICE"
  | "ISSUE_SERVICE_TOKEN"
  | "CREATE_SIGNING_KEY"
  | "ASSIGN_ROLE"
  | "DESTROY_PERSON_KEY"
  | "GRANT_SCOPES"
  | "REVOKE_SCOPES"
  | "VERIFY_EMAIL"
  | "REQUEST_PASSWORD_RESET"
  | "RESET_PASSWORD"
  | "BEGIN_TOTP"
  | "CONFIRM_TOTP"
  | "DISABLE_TOTP"
  | "RESET_TOTP"
  | "SUSPEND_PERSON"
  | "ADMIT_PERSON"
  | "ERASE_PERSON";

/** One act that matters to security. */
export interface Act {
  readonly action: Action;
  readonly outcome: "DONE" | "REFUSED";
  /** Where it came from and, unless `principal` says otherwise, who did it. */
  readonly client: ClientInfo;
  /** Who did it, where the call had no credentials yet. */
  readonly principal?: string;
  /** What it was done to, such as "session:<id>". Never an e-mail address. */
  readonly subject: string;
  /** Closed reason of a refusal, or what was given. */
  readonly detail?: string;
}

/** Auth itself, for what nobody asked for. */
export const authItself: ClientInfo = { principal: "service:auth", address: "", userAgent: "" };

/** Adds an act: with `tx` if and only if the act itself is committed. Refusals are recorded outside the act's transaction. */
export async function recordAct(sql: Sql, act: Act, nowMs: number): Promise<void> {
  await sql`
    INSERT INTO audit_log (create_time, action, outcome, principal, subject, address, user_agent, detail)
    VALUES (${new Date(nowMs)}, ${act.action}, ${act.outcome}, ${act.principal ?? act.client.principal}, ${act.subject},
      ${act.client.address}, ${act.client.userAgent}, ${(act.detail ?? "").slice(0, detailCharsMax)})`;
}

/** An act as it stands in the log. */
export interface RecordedAct {
  /** Grows with time. */
  readonly auditId: string;
  readonly createTimeMs: number;
  readonly action: string;
  readonly outcome: "DONE" | "REFUSED";
  readonly principal: string;
  readonly subject: string;
  readonly address: string;
  readonly userAgent: string;
  readonly detail: string;
}

/** Which acts to list; `undefined` fits all. */
export interface ActFilter {
  readonly principal?: string | undefined;
  readonly subject?: string | undefined;
  readonly action?: string | undefined;
  readonly outcome?: "DONE" | "REFUSED" | undefined;
  readonly fromMs?: number | undefined;
  readonly untilMs?: number | undefined;
  /** Only those that are older than this one. */
  readonly beforeId?: string | undefined;
  readonly pageSize: number;
}

/** Acts that fit, newest first. */
export async function listActs(sql: Sql, filter: ActFilter): Promise<readonly RecordedAct[]> {
  const { principal, subject, action, outcome, fromMs, untilMs, beforeId, pageSize } = filter;
  const rows = await sql<
    {
      audit_id: string;
      create_time: Date;
      action: string;
      outcome: "DONE" | "REFUSED";
      principal: string;
      subject: string;
      address: string;
      user_agent: string;
      detail: string;
    }[]
  >`
    SELECT * FROM audit_log WHERE true
      ${principal === undefined ? sql`` : sql`AND principal = ${principal}`}
      ${subject === undefined ? sql`` : sql`AND subject = ${subject}`}
      ${action === undefined ? sql`` : sql`AND action = ${action}`}
      ${outcome === undefined ? sql`` : sql`AND outcome = ${outcome}`}
      ${fromMs === undefined ? sql`` : sql`AND create_time >= ${new Date(fromMs)}`}
      ${untilMs === undefined ? sql`` : sql`AND create_time < ${new Date(untilMs)}`}
      ${beforeId === undefined ? sql`` : sql`AND audit_id < ${beforeId}`}
    ORDER BY audit_id DESC LIMIT ${pageSize}`;
  return rows.map((row) => ({
    auditId: row.audit_id,
    createTimeMs: row.create_time.getTime(),
    action: row.action,
    outcome: row.outcome,
    principal: row.principal,
    subject: row.subject,
    address: row.address,
    userAgent: row.user_agent,
    detail: row.detail,
  }));
}
