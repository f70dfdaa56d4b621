import { domainInAscii, isMailbox } from "../../../platform/mail/mailer.ts";
import type { Vault } from "../secret/vault.ts";

/** RFC 5321: of the whole address, and of the part before "@". */
const emailCharsMax = 254;
const localCharsMax = 64;

/** Characters that show nothing: zero-width, direction marks, soft hyphen. */
const invisible = /\p{Default_Ignorable_Code_Point}/gu;
/** What may stand unquoted before "@"; quoted forms are refused. No line end can pass into a mail's header. */
const localPart = /^[^\s\p{Cc}"(),:;<>@[\\\]]+$/u;
const asciiDomain = /^[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?$/;

/**
 * The one form in which an address is stored, compared and counted for lockout: NFKC, invisible characters and space at the
 * ends removed, lower case, the domain in ASCII (UTS #46). So "ＡＤＡ@Example.ORG" is "ada@example.org". Look-alikes of other
 * scripts (Cyrillic "а") are other addresses: they name other accounts and gain nothing. `undefined` when no mail can go there.
 */
export function normaliseEmail(text: string): string | undefined {
  const email = normaliseKnownEmail(text);
  return email !== undefined && isMailbox(email) ? email : undefined;
}

/**
 * The same form, by which an account is found. It also takes addresses with which no account begins any more, "a..b@example.org" and
 * "ada@42" among them: whose account has such a one can still sign in.
 */
export function normaliseKnownEmail(text: string): string | undefined {
  if (!text.isWellFormed()) return undefined;
  const folded = text.normalize("NFKC").replace(invisible, "").trim().toLowerCase().normalize("NFKC");
  const at = folded.lastIndexOf("@");
  const local = folded.slice(0, at);
  if (at < 1 || local.length > localCharsMax || !localPart.test(local)) return undefined;
  const domain = domainInAscii(folded.slice(at + 1));
  const email = `${local}@${domain}`;
  return asciiDomain.test(domain) && email.length <= emailCharsMax ? email : undefined;
}

/** What an address of an account is, in words for who gave another text. */
export const emailRule = "must be an e-mail address such as ada@example.org";

/** Names an address that may have no account, without writing it down: "email:" and a keyed hash. */
export function emailSubject(vault: Vault, email: string): string {
  return `email:${Buffer.from(vault.mac("audit-email", email)).toString("hex", 0, 16)}`;
}
