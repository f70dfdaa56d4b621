import { backoffMs } from "../../../platform/clock/backoff.ts";
import type { Clock } from "../../../platform/clock/clock.ts";
import type { Random } from "../../../platform/clock/random.ts";
import type { Component } from "../../../platform/lifecycle/component.ts";
import { createLoop } from "../../../platform/lifecycle/loop.ts";
import { MailRefusedError, type Mail, type Mailer } from "../../../platform/mail/mailer.ts";
import type { Database, Transaction } from "../../../platform/postgres/database.ts";
import type { Logger } from "../../../platform/telemetry/logger.ts";
import type { Metrics } from "../../../platform/telemetry/metrics.ts";
import type { AccountStore } from "../account/store.ts";
import type { NewcomerStore } from "../newcomer/store.ts";
import type { Vault } from "../secret/vault.ts";
import type { MailStore, TokenOwner, WaitingMail } from "./store.ts";
import { textOf, type MailText } from "./text.ts";
import { hashOfMailToken, mailTokenLifeMs, mailTokenOf } from "./token.ts";

/** Mails that are sent at a time. */
const sendingMax = 16;
const everyMs = 1000;
/** From one attempt to the next: longer than an attempt may take, so that no two processes send one mail at a time. */
const pause = { minMs: 2 * 60_000, maxMs: 15 * 60_000 } as const;
/** Mails of one kind that one person, or one address, gets within an hour. */
const mailsPerHourMax = 5;
const hourMs = 60 * 60_000;
/** The clocks of two processes may differ by so much: what lies further ahead is of one that was put back since. */
const clockMarginMs = 60_000;

/** Sends the mails that wait. One turn of `send` sends all that is due; between `start` and `stop` there is one a second. */
export type MailSender = Component & { readonly send: () => Promise<void> };

/** What a mail is written from, and sent by. */
interface MailSenderDeps {
  readonly database: Database;
  readonly store: MailStore;
  readonly accounts: Pick<AccountStore, "lock" | "findByEmail">;
  readonly newcomers: Pick<NewcomerStore, "lock" | "countEarlier">;
  readonly mailer: Mailer;
  readonly vault: Vault;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly metrics: Metrics;
}

/** Works off the queue of mails in a database; all processes may. */
export function createMailSender(deps: MailSenderDeps): MailSender {
  const { database, store, mailer, clock, log, metrics } = deps;
  const outcomes = metrics.counter({
    name: "mails_total",
    help: "Mails by what became of an attempt to send one.",
    labels: ["outcome"],
  });
  const waiting = metrics.gauge({ name: "mails_waiting", help: "Mails that are not sent yet." });

  const sendOne = async (due: WaitingMail): Promise<void> => {
    const { mailId, kind } = due;
    const mail = await write(deps, due);
    try {
      if (mail !== undefined) await mailer.send(mailId, mail);
      outcomes.add(1, { outcome: mail === undefined ? "unneeded" : "sent" });
    } catch (error) {
      if (!(error instanceof MailRefusedError)) {
        outcomes.add(1, { outcome: "failed" });
        log.warn("a mail could not be sent and will be sent again", { err: error, mail: mailId, kind });
        return;
      }
      outcomes.add(1, { outcome: "refused" });
      log.warn("a mail was refused and will not be sent", { err: error, mail: mailId, kind });
    }
    await store.remove(database.sql, mailId);
  };

  const send = async (signal?: AbortSignal): Promise<void> => {
    for (;;) {
      const due = await takeDue(deps);
      // What fails here is the database: the rows come again.
      const results = await Promise.allSettled(due.map(sendOne));
      const failure = results.find((result) => result.status === "rejected");
      if (failure !== undefined) throw failure.reason;
      if (due.length < sendingMax || signal?.aborted === true) break;
    }
    waiting.set(await store.count(database.sql));
  };
  const loop = createLoop({
    name: "auth mails",
    everyMs,
    clock,
    work: send,
    onFailure: (error) => log.warn("mails could not be sent", { err: error }),
  });

  return {
    ...loop,
    send,
    start: () => {
      log.info("mails go out", { to: mailer.destination });
      return loop.start();
    },
  };
}

/** Takes mails that are due away from the other processes, until their next attempt would be. */
function takeDue({ database, store, clock, random }: MailSenderDeps): Promise<readonly WaitingMail[]> {
  return database.transaction(async (tx) => {
    const nowMs = clock.now();
    const due = await store.lockDue(tx, { nowMs, latestMs: nowMs + pause.maxMs + clockMarginMs }, sendingMax);
    for (const { mailId, attempts } of due) {
      const nextMs = nowMs + backoffMs(pause, attempts + 1, random);
      await store.postpone(tx, mailId, nextMs);
    }
    return due;
  });
}

/** The mail as it goes out now, its token good; `undefined` when there is nobody, or nothing, to write to. */
function write(deps: MailSenderDeps, due: WaitingMail): Promise<Mail | undefined> {
  const { database, store, vault, clock } = deps;
  const { mailId, kind, createTimeMs } = due;
  return database.transaction(async (tx) => {
    const nowMs = clock.now();
    const expireTimeMs = createTimeMs + mailTokenLifeMs(due);
    if (nowMs >= expireTimeMs) return undefined;
    const reader = await readerOf(tx, deps, due);
    if (reader === undefined) return undefined;
    const { email: to, owner, says } = reader;
    if (owner === undefined) return { to, ...textOf(says, "") };
    const text = mailTokenOf(vault, mailId);
    const token = { owner, kind, tokenHash: hashOfMailToken(text) };
    const lately = { sinceMs: nowMs - hourMs, untilMs: nowMs + clockMarginMs };
    const recent = await store.recentTokens(tx, token, lately);
    // One that is known was sent before.
    if (!recent.isKnown && recent.count >= mailsPerHourMax) return undefined;
    if (!recent.isKnown) await store.addToken(tx, token, { nowMs, expireTimeMs });
    return { to, ...textOf(says, text) };
  });
}

/** Who reads a mail, and what it says to them. */
interface Reader {
  readonly email: string;
  /** Gets the token; `undefined` when there is none to get. */
  readonly owner: TokenOwner | undefined;
  readonly says: MailText;
}

/** Who reads the mail, their row locked; `undefined` when there is nobody, or nothing to say to them. */
async function readerOf(
  tx: Transaction,
  { accounts, newcomers }: MailSenderDeps,
  { kind, userId, newcomerId }: WaitingMail,
): Promise<Reader | undefined> {
  if (userId !== undefined) {
    const account = await accounts.lock(tx, userId);
    if (account === undefined || (kind === "VERIFY_EMAIL" && account.isEmailVerified)) return undefined;
    return { email: account.email, owner: { userId }, says: kind };
  }
  const newcomer = newcomerId === undefined ? undefined : await newcomers.lock(tx, newcomerId);
  if (newcomer === undefined) return undefined;
  const { email, createTimeMs } = newcomer;
  const hasAccount = (await accounts.findByEmail(tx, email)) !== undefined;
  const owner = { newcomerId: newcomer.newcomerId };
  if (kind === "RESET_PASSWORD") return hasAccount ? undefined : { email, owner, says: kind };
  if ((await newcomers.countEarlier(tx, newcomer, createTimeMs - hourMs)) >= mailsPerHourMax) return undefined;
  if (kind === "ACCEPT_INVITATION") return hasAccount ? undefined : { email, owner, says: kind };
  return hasAccount ? { email, owner: undefined, says: "HAS_ACCOUNT" } : { email, owner, says: "SIGN_UP" };
}
