import type { ISql } from "postgres";
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
  | "ISSUE_SERVICE_TOKEN"
  | "CREATE_SIGNING_KEY"
  | "ASSIGN_ROLE"
  | "DESTROY_PERSON_KEY"
  | "VERIFY_EMAIL"
  | "REQUEST_PASSWORD_RESET"
  | "RESET_PASSWORD"
  | "BEGIN_TOTP"
  | "CONFIRM_TOTP"
  | "DISABLE_TOTP"
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
export async function recordAct(sql: ISql, act: Act, nowMs: number): Promise<void> {
  await sql`
    INSERT INTO audit_log (create_time, action, outcome, principal, subject, address, user_agent, detail)
    VALUES (${new Date(nowMs)}, ${act.action}, ${act.outcome}, ${act.principal ?? act.client.principal}, ${act.subject},
      ${act.client.address}, ${act.client.userAgent}, ${(act.detail ?? "").slice(0, detailCharsMax)})`;
}
