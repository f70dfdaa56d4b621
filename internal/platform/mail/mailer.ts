import { domainToASCII } from "node:url";

/** A mail in plain text to one person. */
export interface Mail {
  /** Address alone, such as "ada@example.org". */
  readonly to: string;
  /** One line. */
  readonly subject: string;
  readonly text: string;
}

/** A mail that will be refused however often it is sent: its address is none, or the server will have nothing to do with it. */
export class MailRefusedError extends Error {
  override readonly name = "MailRefusedError";
}

/** Sends mails. */
export interface Mailer {
  /** Where mails go, as a person may see it: no password. */
  readonly destination: string;
  /**
   * Resolves once the server, or the disk, has taken the mail. `id` becomes the Message-ID: a mail that is sent twice can be told as
   * one. Rejects with `MailRefusedError` when sending it again is in vain; after any other rejection, which may have been a reply
   * that was lost, it should be sent again.
   */
  send(id: string, mail: Mail): Promise<void>;
}

const address = /^[^\s\p{Cc}"(),:;<>@[\\\]]{1,64}@[A-Za-z0-9.-]{1,253}$/u;

/** RFC 5321 "Dot-string": no dot at either end, no two together. */
const dotString = /^[^.]+(?:\.[^.]+)*$/;
/** RFC 1123, section 2.1: labels of letters, digits and inner hyphens. The last is not all digits, as an address of IPv4 has it. */
const hostName = /^(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)*(?!\d+$)[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/i;
/** A domain before UTS #46: `domainToASCII` is a URL parser, which would end it at "/", "?" or "#" and decode "%61". */
const writtenDomain = /^[A-Za-z0-9.\-\P{ASCII}]+$/u;

/** Whether a text is an address by the rules for both of its parts, so that mail can go there. */
export function isMailbox(text: string): boolean {
  const at = text.lastIndexOf("@");
  return isMailAddress(text) && dotString.test(text.slice(0, at)) && hostName.test(text.slice(at + 1));
}

/** The same of an address whose domain may be in any script, as people write it, such as "ada@bücher.example". */
export function isWrittenMailbox(text: string): boolean {
  const domainStart = text.lastIndexOf("@") + 1;
  return isMailbox(text.slice(0, domainStart) + domainInAscii(text.slice(domainStart)));
}

/** A domain in the form in which mail servers know it (UTS #46); empty for a text that is none. */
export function domainInAscii(written: string): string {
  return writtenDomain.test(written) ? domainToASCII(written) : "";
}

/** Whether a text is one address and nothing else: no list, no name, no line end or other control character. */
export function isMailAddress(text: string): boolean {
  return address.test(text);
}
