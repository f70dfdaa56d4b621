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

/** Whether a text is one address and nothing else: no list, no name, no line end or other control character. */
export function isMailAddress(text: string): boolean {
  return address.test(text);
}
