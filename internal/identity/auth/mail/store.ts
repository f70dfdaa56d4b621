import type { Sql, Transaction } from "../../../platform/postgres/database.ts";

/** What a mail asks of its reader. */
export type MailKind = "VERIFY_EMAIL" | "RESET_PASSWORD" | "ACCEPT_INVITATION";

/** Who holds a mail's token: an account, or a newcomer, who has none yet. */
export type TokenOwner =
  | { readonly userId: string; readonly newcomerId?: undefined }
  | { readonly newcomerId: string; readonly userId?: undefined };

/** A token that a mail carries. */
export interface MailToken {
  readonly owner: TokenOwner;
  readonly kind: MailKind;
  readonly tokenHash: Uint8Array;
}

/** A mail that waits to be sent. */
export interface WaitingMail {
  readonly mailId: string;
  readonly kind: MailKind;
  /** `undefined` for an address that had no account. */
  readonly userId: string | undefined;
  /** Who signed up with the address or was invited; `undefined` for nobody. */
  readonly newcomerId: string | undefined;
  /** Attempts at sending it so far. */
  readonly attempts: number;
  readonly createTimeMs: number;
}

/** Mails to be sent, and the tokens that they carry. Of a token there is its hash alone, 32 bytes. */
export interface MailStore {
  /**
   * Adds a mail, due at once, to the account with this address, else to who signed up with it first; one to nobody when there is
   * neither, with the same statement. False, without effect, when `waitingMax` wait. Waits for no lock of the account.
   */
  add(
    on: Sql,
    mail: { readonly mailId: string; readonly kind: MailKind; readonly email: string; readonly nowMs: number },
    waitingMax: number,
  ): Promise<boolean>;
  /** Adds a mail, due at once, to a newcomer who may be added after it. False, without effect, when `waitingMax` wait. */
  addToNewcomer(
    on: Sql,
    mail: { readonly mailId: string; readonly kind: MailKind; readonly newcomerId: string; readonly nowMs: number },
    waitingMax: number,
  ): Promise<boolean>;
  /**
   * Locks mails that are due, the longest due first, leaving out those that another transaction has locked. One that would be due after
   * `latestMs`, later than any can be, was put off by a clock that was put back since, and is due too.
   */
  lockDue(
    tx: Transaction,
    times: { readonly nowMs: number; readonly latestMs: number },
    limit: number,
  ): Promise<readonly WaitingMail[]>;
  /** Counts an attempt; the mail is due again at `nextMs`. */
  postpone(tx: Transaction, mailId: string, nextMs: number): Promise<void>;
  /** Removes a mail that needs no more attempt. */
  remove(on: Sql, mailId: string): Promise<void>;
  /** How many mails wait. */
  count(on: Sql): Promise<number>;
  /** Removes the mails that wait for a person. */
  removeOfPerson(tx: Transaction, userId: string): Promise<void>;

  /** How many tokens of a kind its owner got after `sinceMs` and until `untilMs`, and whether this is one of them. */
  recentTokens(
    tx: Transaction,
    token: MailToken,
    times: { readonly sinceMs: number; readonly untilMs: number },
  ): Promise<{ readonly count: number; readonly isKnown: boolean }>;
  /** Makes a token good until `expireTimeMs`. One that is there already stays as it is. */
  addToken(
    tx: Transaction,
    token: MailToken,
    times: { readonly nowMs: number; readonly expireTimeMs: number },
  ): Promise<void>;
  /** Whose token it is; `undefined` for one of another kind, and for one that never was, has ended or was used. */
  findToken(on: Sql, kind: MailKind, tokenHash: Uint8Array, nowMs: number): Promise<TokenOwner | undefined>;
  /** Uses a token up; false when that happened before. Of two transactions one gets true. */
  takeToken(tx: Transaction, kind: MailKind, tokenHash: Uint8Array): Promise<boolean>;
  /** Ends all tokens of a kind that a person has, and the mails that would carry further ones. */
  endTokens(tx: Transaction, kind: MailKind, userId: string): Promise<void>;
  /** Removes at most `rowsMax` tokens that ended before `beforeMs`. */
  prune(tx: Transaction, beforeMs: number, rowsMax: number): Promise<void>;
}
