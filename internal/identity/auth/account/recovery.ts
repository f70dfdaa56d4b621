import type { Clock } from "../../../platform/clock/clock.ts";
import type { Database } from "../../../platform/postgres/database.ts";
import type { Vault } from "../secret/vault.ts";
import { emailSubject, lockAccount, setPassword } from "./rules.ts";
import { recordAct } from "../audit/log.ts";
import { networkOf, type ClientInfo } from "../audit/client.ts";
import { normaliseEmail } from "./email.ts";
import { badMailToken, invalidEmail, tooManyMails } from "../errors.ts";
import { chargeAttempt } from "../lockout/rules.ts";
import { endMailTokens, findMailToken, takeMailToken } from "../mail/token.ts";
import type { OutgoingMails } from "../mail/rules.ts";
import type { PasswordQueue } from "./password.ts";
import type { Sessions } from "../session/rules.ts";

/** What protects an account, as its owner sees it. */
export interface Credentials {
  readonly email: string;
  readonly emailVerifyTimeMs: number | undefined;
  readonly totpEnabled: boolean;
  readonly recoveryCodesLeft: number;
  readonly createTimeMs: number;
}

/** What can be done with mail to the address of an account. */
export interface Recovery {
  /** Of a person; `undefined` when the account is gone. */
  credentials(userId: string): Promise<Credentials | undefined>;
  /** Sends a token for `verifyEmail`, unless the address is verified. */
  sendVerification(userId: string): Promise<void>;
  /** Marks the address as verified. */
  verifyEmail(token: string, client: ClientInfo): Promise<void>;
  /** Sends a token for `resetPassword` to the address, if it has an account; nothing tells whether it has. */
  requestReset(email: string, client: ClientInfo): Promise<void>;
  /** Sets a new password and ends all sessions. */
  resetPassword(token: string, password: string, client: ClientInfo, signal: AbortSignal): Promise<void>;
}

/** Makes the rules. */
export function createRecovery(deps: {
  readonly database: Database;
  readonly vault: Vault;
  readonly passwords: PasswordQueue;
  readonly sessions: Sessions;
  readonly mails: OutgoingMails;
  readonly clock: Clock;
}): Recovery {
  const { database, vault, passwords, sessions, mails, clock } = deps;
  const findAccount = async (userId: string): Promise<Row | undefined> => {
    const [row] = await database.sql<Row[]>`
      SELECT email, email_verify_time, a.create_time, confirm_time IS NOT NULL AS totp_enabled,
        (SELECT count(*)::int FROM recovery_codes r WHERE r.user_id = a.user_id) AS recovery_codes_left
      FROM accounts a LEFT JOIN totp_factors USING (user_id) WHERE user_id = ${userId}`;
    return row;
  };

  return {
    credentials: async (userId) => {
      const row = await findAccount(userId);
      return (
        row && {
          email: row.email,
          emailVerifyTimeMs: row.email_verify_time?.getTime(),
          totpEnabled: row.totp_enabled,
          recoveryCodesLeft: row.recovery_codes_left,
          createTimeMs: row.create_time.getTime(),
        }
      );
    },

    sendVerification: async (userId) => {
      const account = await findAccount(userId);
      if (account === undefined || account.email_verify_time !== null) return;
      if (!(await mails.add(database.sql, "VERIFY_EMAIL", account.email))) throw tooManyMails();
    },

    verifyEmail: async (token, client) => {
      const found = await findMailToken(database, "VERIFY_EMAIL", token, clock.now());
      if (found === undefined) throw badMailToken();
      const { userId } = found;
      const verified = await database.transaction(async (tx) => {
        await lockAccount(tx, userId);
        if (!(await takeMailToken(tx, "VERIFY_EMAIL", token))) return false;
        const nowMs = clock.now();
        await tx`
          UPDATE accounts SET email_verify_time = coalesce(email_verify_time, ${new Date(nowMs)})
          WHERE user_id = ${userId}`;
        await endMailTokens(tx, "VERIFY_EMAIL", userId);
        await recordAct(tx, { action: "VERIFY_EMAIL", outcome: "DONE", client, ...themself(userId) }, nowMs);
        return true;
      });
      if (!verified) throw badMailToken();
    },

    requestReset: async (written, client) => {
      const email = normaliseEmail(written);
      if (email === undefined) throw invalidEmail();
      // The same statements whether the address has an account or not; which of both it is shows when the mail is written.
      const added = await database.transaction(async (tx) => {
        await chargeAttempt(tx, vault, { email: "", network: networkOf(client.address) }, clock.now());
        const act = { action: "REQUEST_PASSWORD_RESET", outcome: "DONE", client } as const;
        await recordAct(tx, { ...act, subject: emailSubject(vault, email) }, clock.now());
        return mails.add(tx, "RESET_PASSWORD", email);
      });
      if (!added) throw tooManyMails();
    },

    resetPassword: async (token, password, client, signal) => {
      const found = await findMailToken(database, "RESET_PASSWORD", token, clock.now());
      if (found === undefined) throw badMailToken(); // Before anything is computed: a token is not to be guessed.
      const { userId } = found;
      const passwordHash = await passwords.run(signal, (hasher) => hasher.hash(password));
      const reset = await database.transaction(async (tx) => {
        await lockAccount(tx, userId);
        if (!(await takeMailToken(tx, "RESET_PASSWORD", token))) return false;
        const nowMs = clock.now();
        await setPassword(tx, userId, passwordHash, nowMs);
        await sessions.endAll(tx, userId);
        // Who holds the token reads mail to the address.
        await tx`
          UPDATE accounts SET email_verify_time = coalesce(email_verify_time, ${new Date(nowMs)})
          WHERE user_id = ${userId}`;
        await recordAct(tx, { action: "RESET_PASSWORD", outcome: "DONE", client, ...themself(userId) }, nowMs);
        return true;
      });
      if (!reset) throw badMailToken();
    },
  };
}

interface Row {
  readonly email: string;
  readonly email_verify_time: Date | null;
  readonly totp_enabled: boolean;
  readonly recovery_codes_left: number;
  readonly create_time: Date;
}

/** A token says who calls, though the call has no credentials. */
function themself(userId: string): { readonly principal: string; readonly subject: string } {
  return { principal: `person:${userId}`, subject: `person:${userId}` };
}
