import type { Clock } from "../../../platform/clock/clock.ts";
import type { Random } from "../../../platform/clock/random.ts";
import type { Sql } from "../../../platform/postgres/database.ts";
import type { MailKind, MailStore } from "./store.ts";

/** Mails that may wait; further ones are not taken. */
const waitingMax = 10_000;

/** Asks for mails. Each goes out after the commit, once at least, and waits while the server is away. */
export interface OutgoingMails {
  /**
   * Adds a mail to the account with this address: with a transaction if and only if that is committed. Does the same, but for the
   * mail, when there is none. False when too many wait.
   */
  add(on: Sql, kind: MailKind, email: string): Promise<boolean>;
}

/** The queue of mails in a database; `createMailSender` works it off. */
export function createOutgoingMails(deps: {
  readonly store: Pick<MailStore, "add">;
  readonly clock: Clock;
  readonly random: Random;
}): OutgoingMails {
  const { store, clock, random } = deps;
  return {
    add: (on, kind, email) => store.add(on, { mailId: random.uuid(), kind, email, nowMs: clock.now() }, waitingMax),
  };
}
