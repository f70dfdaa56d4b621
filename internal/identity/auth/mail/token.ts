import { createHash } from "node:crypto";
import { assertNever } from "../../../platform/errors/assert-never.ts";
import type { Vault } from "../secret/vault.ts";
import type { WaitingMail } from "./store.ts";

const hourMs = 60 * 60_000;

/** Who signed up or was invited has so long to show that they read mail to the address; then nothing of it is kept. */
export const newcomerLifeMs: number = 7 * 24 * hourMs;

/** How long the token of a mail is good for, from when the mail was asked for. */
export function mailTokenLifeMs({ kind, newcomerId }: Pick<WaitingMail, "kind" | "newcomerId">): number {
  switch (kind) {
    case "VERIFY_EMAIL":
      return newcomerId === undefined ? 24 * hourMs : newcomerLifeMs;
    case "RESET_PASSWORD":
      return hourMs;
    case "ACCEPT_INVITATION":
      return newcomerLifeMs;
    default:
      return assertNever(kind);
  }
}

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
