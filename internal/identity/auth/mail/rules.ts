import type { Component } from "../../../platform/lifecycle/component.ts";
import { createLoop } from "../../../platform/lifecycle/loop.ts";
import { backoffMs } from "../../../platform/clock/backoff.ts";
import type { Clock } from "../../../platform/clock/clock.ts";
import type { Random } from "../../../platform/clock/random.ts";
import { MailRefusedError, type Mail, type Mailer } from "../../../platform/mail/mailer.ts";
import { assertNever } from "../../../platform/errors/assert-never.ts";
import type { Database, Sql } from "../../../platform/postgres/database.ts";
import type { Logger } from "../../../platform/telemetry/logger.ts";
import type { Metrics } from "../../../platform/telemetry/metrics.ts";
import { admitMailToken, mailTokenLifeMs, mailTokenOf, type MailKind } from "./token.ts";
import type { Vault } from "../secret/vault.ts";

/** Mails that may wait; further ones are not taken. */
const waitingMax = 10_000;
/** Mails that are sent at a time. */
const sendingMax = 16;
const everyMs = 1000;
/** From one attempt to the next: longer than an attempt may take, so that no two processes send one mail at a time. */
const retry = { minMs: 2 * 60_000, maxMs: 15 * 60_000 } as const;

/** Asks for a mail. It goes out after the commit, once at least, and waits while the server is away. */
export interface OutgoingMails {
  /**
   * Adds a mail to the account with this address: with a transaction if and only if that is committed. Does the same, but for the
   * mail, when there is none. False when too many wait.
   */
  add(sql: Sql, kind: MailKind, email: string): Promise<boolean>;
  /** Sends what waits. One turn sends all that is due; `run` does so again and again. */
  readonly sender: Component & { readonly send: () => Promise<void> };
}

/** Makes the queue. */
export function createOutgoingMails(deps: {
  readonly database: Database;
  readonly mailer: Mailer;
  readonly vault: Vault;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly metrics: Metrics;
}): OutgoingMails {
  const { database, mailer, vault, clock, random, log, metrics } = deps;
  const outcomes = metrics.counter({
    name: "mails_total",
    help: "Mails by what became of an attempt to send one.",
    labels: ["outcome"],
  });

  const waiting = metrics.gauge({ name: "mails_waiting", help: "Mails that are not sent yet." });

  /** Takes mails that are due away from the other processes, until their next attempt would be. */
  const claim = (): Promise<readonly Claimed[]> =>
    database.transaction(async (tx) => {
      const nowMs = clock.now();
      const rows = await tx<Row[]>`
        SELECT mail_id, kind, user_id, attempts, create_time FROM outgoing_mails WHERE next_time <= ${new Date(nowMs)}
        ORDER BY next_time LIMIT ${sendingMax} FOR UPDATE SKIP LOCKED`;
      for (const row of rows) {
        const nextMs = nowMs + backoffMs(retry, row.attempts + 1, random);
        await tx`
          UPDATE outgoing_mails SET attempts = attempts + 1, next_time = ${new Date(nextMs)}
          WHERE mail_id = ${row.mail_id}`;
      }
      return rows.map((row) => ({
        mailId: row.mail_id,
        kind: row.kind,
        userId: row.user_id ?? undefined,
        expireTimeMs: row.create_time.getTime() + mailTokenLifeMs[row.kind],
      }));
    });

  /** The mail as it goes out now, its token good; `undefined` when there is nobody, or nothing, to write to. */
  const write = ({ mailId, kind, userId, expireTimeMs }: Claimed): Promise<Mail | undefined> =>
    database.transaction(async (tx) => {
      if (userId === undefined || clock.now() >= expireTimeMs) return undefined;
      const [account] = await tx<{ email: string; email_verify_time: Date | null }[]>`
        SELECT email, email_verify_time FROM accounts WHERE user_id = ${userId} FOR UPDATE`;
      if (account === undefined || (kind === "VERIFY_EMAIL" && account.email_verify_time !== null)) return undefined;
      const token = mailTokenOf(vault, mailId);
      if (!(await admitMailToken(tx, kind, token, userId, clock.now(), expireTimeMs))) return undefined;
      return { to: account.email, ...wordsOf(kind, token) };
    });

  const sendOne = async (claimed: Claimed): Promise<void> => {
    const { mailId, kind } = claimed;
    const mail = await write(claimed);
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
    await database.sql`DELETE FROM outgoing_mails WHERE mail_id = ${mailId}`;
  };

  const send = async (signal?: AbortSignal): Promise<void> => {
    for (;;) {
      const claimed = await claim();
      // What fails here is the database: the rows come again.
      const results = await Promise.allSettled(claimed.map(sendOne));
      const failure = results.find((result) => result.status === "rejected");
      if (failure !== undefined) throw failure.reason;
      if (claimed.length < sendingMax || signal?.aborted === true) break;
    }
    const [row] = await database.sql<{ count: string }[]>`SELECT count(*) FROM outgoing_mails`;
    waiting.set(Number(row?.count));
  };
  const loop = createLoop({
    name: "auth mails",
    everyMs,
    clock,
    work: send,
    onFailure: (error) => log.warn("mails could not be sent", { err: error }),
  });

  return {
    add: async (sql, kind, email) => {
      const now = new Date(clock.now());
      const rows = await sql`
        INSERT INTO outgoing_mails (mail_id, kind, user_id, attempts, next_time, create_time)
        SELECT ${random.uuid()}, ${kind}, (SELECT user_id FROM accounts WHERE email = ${email}), 0, ${now}, ${now}
        WHERE (SELECT count(*) FROM (SELECT 1 FROM outgoing_mails LIMIT ${waitingMax}) AS waiting) < ${waitingMax}
        RETURNING mail_id`;
      return rows.length > 0;
    },
    sender: {
      ...loop,
      send,
      start: () => {
        log.info("mails go out", { to: mailer.destination });
        return loop.start();
      },
    },
  };
}

interface Row {
  readonly mail_id: string;
  readonly kind: MailKind;
  readonly user_id: string | null;
  readonly attempts: number;
  readonly create_time: Date;
}

interface Claimed {
  readonly mailId: string;
  readonly kind: MailKind;
  readonly userId: string | undefined;
  /** When the token ends: the mail is worth nothing after that. */
  readonly expireTimeMs: number;
}

/** What the mail says. Nothing that somebody else chose stands in it. */
function wordsOf(kind: MailKind, token: string): Pick<Mail, "subject" | "text"> {
  switch (kind) {
    case "VERIFY_EMAIL":
      return {
        subject: "Verify your e-mail address",
        text: [
          "Somebody has given this address for their account with Muin.",
          "If it was you, verify it with this token, within 24 hours:",
          token,
          "If it was not, there is nothing to do.",
          "",
        ].join("\n\n"),
      };
    case "RESET_PASSWORD":
      return {
        subject: "Set a new password",
        text: [
          "Somebody has asked to set a new password for your account with Muin.",
          "If it was you, set one with this token, within an hour:",
          token,
          "If it was not, there is nothing to do: your password stays as it is.",
          "",
        ].join("\n\n"),
      };
    default:
      return assertNever(kind);
  }
}
