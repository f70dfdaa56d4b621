import type { Clock } from "../../../platform/clock/clock.ts";
import type { Random } from "../../../platform/clock/random.ts";
import type { Sql } from "../../../platform/postgres/database.ts";
import type { MailKind, MailStore } from "./store.ts";

/** Mails that may wait; further ones are not taken. */
const waitingMax = 10_000;

/** Asks for mails. Each goes out after the commit, once at least, and waits while the server is away. */
export interface OutgoingMails {
  /**
   * Adds a mail to the account with this address, or to who signed up with it: with a transaction if and only if that is committed.
   * Does the same, but for the mail, when there is neither. False when too many wait.
   */
  add(on: Sql, kind: MailKind, email: string): Promise<boolean>;
  /** Adds a mail to a newcomer, likewise. */
  addToNewcomer(on: Sql, kind: MailKind, newcomerId: string): Promise<boolean>;
}

/** The queue of mails in a database; `createMailSender` works it off. */
export function createOutgoingMails(deps: {
  readonly store: Pick<MailStore, "add" | "addToNewcomer">;
  readonly clock: Clock;
  readonly random: Random;
}): OutgoingMails {
  const { store, clock, random } = deps;
  return {
    add: (on, kind, email) => store.add(on, { mailId: random.uuid(), kind, email, nowMs: clock.now() }, waitingMax),
    addToNewcomer: (on, kind, newcomerId) =>
      store.addToNewcomer(on, { mailId: random.uuid(), kind, newcomerId, nowMs: clock.now() }, waitingMax),
  };
}
