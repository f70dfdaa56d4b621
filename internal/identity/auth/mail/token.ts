import { createHash } from "node:crypto";
import type { Vault } from "../secret/vault.ts";
import type { MailKind } from "./store.ts";

const hourMs = 60 * 60_000;

/** How long the token of a mail is good for, from when the mail was asked for. */
export const mailTokenLifeMs = {
  VERIFY_EMAIL: 24 * hourMs,
  RESET_PASSWORD: hourMs,
} as const satisfies Record<MailKind, number>;

/**
 * The token of a mail: the same each time that the mail is sent, so that all its copies work, and nobody who reads the database
 * can tell it.
 */
export function mailTokenOf(vault: Vault, mailId: string): string {
  return Buffer.from(vault.mac("mail-token", mailId)).toString("base64url");
}

/** SHA-256 of a token: all that the database keeps of it. */
export function hashOfMailToken(token: string): Uint8Array {
  return new Uint8Array(createHash("sha256").update(token).digest());
}
