import { createHash } from "node:crypto";
import type { Database, Transaction } from "../../../platform/postgres/database.ts";
import type { Vault } from "../secret/vault.ts";

const minuteMs = 60_000;
const hourMs = 60 * minuteMs;

/** What a mail asks of its reader. */
export type MailKind = "VERIFY_EMAIL" | "RESET_PASSWORD";

/** How long a token is good for. */
export const mailTokenLifeMs = {
  VERIFY_EMAIL: 24 * hourMs,
  RESET_PASSWORD: hourMs,
} as const satisfies Record<MailKind, number>;

/** Mails of one kind that one person gets within an hour. */
const mailsPerHourMax = 5;

/** Who opens a token. */
export interface TokenHolder {
  readonly userId: string;
}

/**
 * The token of a mail: the same each time that the mail is sent, so that all its copies work, and nobody who reads the database
 * can tell it.
 */
export function mailTokenOf(vault: Vault, mailId: string): string {
  return Buffer.from(vault.mac("mail-token", mailId)).toString("base64url");
}

/**
 * Makes the token of a mail good until `expireTimeMs`; false when the person has had as many mails within the hour as they get.
 * `tx` must hold the lock of the account's row.
 */
export async function admitMailToken(
  tx: Transaction,
  kind: MailKind,
  token: string,
  userId: string,
  nowMs: number,
  expireTimeMs: number,
): Promise<boolean> {
  const hash = hashOf(token);
  const [row] = await tx<{ recent: number; known: boolean }[]>`
    SELECT count(*)::int AS recent, coalesce(bool_or(token_hash = ${hash}), false) AS known FROM mail_tokens
    WHERE user_id = ${userId} AND kind = ${kind} AND create_time > ${new Date(nowMs - hourMs)}`;
  if (row?.known === true) return true; // Sent again.
  if ((row?.recent ?? 0) >= mailsPerHourMax) return false;
  await tx`
    INSERT INTO mail_tokens (token_hash, kind, user_id, create_time, expire_time)
    VALUES (${hash}, ${kind}, ${userId}, ${new Date(nowMs)}, ${new Date(expireTimeMs)}) ON CONFLICT DO NOTHING`;
  return true;
}

/** Whose token it is; `undefined` for one that never was, has ended or was used. */
export async function findMailToken(
  database: Database,
  kind: MailKind,
  token: string,
  nowMs: number,
): Promise<TokenHolder | undefined> {
  const [row] = await database.sql<{ user_id: string }[]>`
    SELECT user_id FROM mail_tokens
    WHERE token_hash = ${hashOf(token)} AND kind = ${kind} AND expire_time > ${new Date(nowMs)}`;
  return row && { userId: row.user_id };
}

/** Uses a token up; false when that happened before. `tx` must hold the lock of the account's row. */
export async function takeMailToken(tx: Transaction, kind: MailKind, token: string): Promise<boolean> {
  const rows = await tx`
    DELETE FROM mail_tokens WHERE token_hash = ${hashOf(token)} AND kind = ${kind} RETURNING user_id`;
  return rows.length > 0;
}

/** Ends all tokens of a kind that a person has, and what was to be sent. */
export async function endMailTokens(tx: Transaction, kind: MailKind, userId: string): Promise<void> {
  await tx`DELETE FROM mail_tokens WHERE user_id = ${userId} AND kind = ${kind}`;
  await tx`DELETE FROM outgoing_mails WHERE user_id = ${userId} AND kind = ${kind}`;
}

function hashOf(token: string): Uint8Array {
  return new Uint8Array(createHash("sha256").update(token).digest());
}
