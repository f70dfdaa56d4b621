import type { Sql, Transaction } from "../../../platform/postgres/database.ts";
import type { ClientInfo } from "./client.ts";

/** Acts that the audit log records. */
export type Action =
  | "REQUEST_SIGN_UP"
  | "SIGN_UP"
  | "INVITE_PERSON"
  | "WITHDRAW_INVITATION"
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
  | "ISSUE_ENTRY_PASS"
  | "REVOKE_ENTRY_PASS"
  | "ISSUE_SERVICE_TOKEN"
  | "ISSUE_BOOTSTRAP_SECRET"
  | "WITHDRAW_SERVICE"
  | "CREATE_SIGNING_KEY"
  | "ASSIGN_ROLE"
  | "HAND_OUT_PERSON_KEY"
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
  /** Closed reason of a refusal, or what was given; cut to 512 characters. */
  readonly detail?: string;
}

/** An act as it stands in the log: an audit record. */
export interface AuditRecord {
  /** Decimal digits. Grows with time. */
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

/** Which records to list: all conditions must hold; `undefined` fits all. */
export interface AuditFilter {
  readonly principal?: string | undefined;
  readonly subject?: string | undefined;
  readonly action?: string | undefined;
  readonly outcome?: "DONE" | "REFUSED" | undefined;
  /** Milliseconds since 1970; `fromMs` included, `untilMs` not. */
  readonly fromMs?: number | undefined;
  readonly untilMs?: number | undefined;
}

/** The audit log. Rows are only ever added; the schema itself refuses to change them, or to remove them before 90 days. */
export interface AuditStore {
  /** Adds an act: with a transaction if and only if that commits. A refusal is added outside the transaction that it undid. */
  append(on: Sql, act: Act, nowMs: number): Promise<void>;
  /** Adds the same act done to each of `subjects`, at once. */
  appendEach(on: Sql, act: Omit<Act, "subject">, subjects: readonly string[], nowMs: number): Promise<void>;
  /** Records that fit, newest first; only those older than `beforeId`, unless that is empty. */
  list(on: Sql, filter: AuditFilter, beforeId: string, limit: number): Promise<readonly AuditRecord[]>;
  /** What a person did and what was done to them, newest first. Where somebody else acted from is left out. */
  listOfPerson(on: Sql, userId: string, limit: number): Promise<readonly AuditRecord[]>;
  /** Blanks from where a person acted, and from where anybody tried the address `emailSubject`. Their account must be gone. */
  blank(tx: Transaction, userId: string, emailSubject: string): Promise<void>;
  /**
   * Makes room for the months ahead, and removes the months that ended `retentionDays` ago (90 at the least) by the server's clock; of
   * what stands in no month of its own, at most `rowsMax` records that are older. Waits at most 2 s for others.
   */
  prune(tx: Transaction, retentionDays: number, rowsMax: number): Promise<void>;
}
