import type { Clock } from "../../../platform/clock/clock.ts";
import type { Database } from "../../../platform/postgres/database.ts";
import type { ClientInfo } from "../audit/client.ts";
import type { AuditStore } from "../audit/store.ts";
import type { Refusal } from "../../../platform/errors/refusal.ts";
import { refuseField } from "../../../platform/resource/errors.ts";
import { refuse } from "../errors.ts";
import type { FactorStore } from "../factor/store.ts";
import { networkOf } from "../../../platform/identity/network.ts";
import type { OutgoingMails } from "../mail/rules.ts";
import type { MailStore } from "../mail/store.ts";
import { hashOfMailToken } from "../mail/token.ts";
import type { NetworkQuotas } from "../quota/rules.ts";
import type { Vault } from "../secret/vault.ts";
import type { Sessions } from "../session/rules.ts";
import { emailRule, emailSubject, normaliseEmail } from "./email.ts";
import type { PasswordQueue } from "./password.ts";
import { setPassword } from "./rules.ts";
import type { AccountStore } from "./store.ts";

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
  /** What protects the account of a person who is signed in. */
  credentials(userId: string): Promise<Credentials | Refusal<"credentialsInvalid">>;
  /** Sends a token for `verifyEmail`, unless the address is verified or the account is gone. */
  sendVerification(userId: string): Promise<Refusal<"mailsWaiting"> | undefined>;
  /** Marks the address as verified. */
  verifyEmail(token: string, client: ClientInfo): Promise<Refusal<"mailTokenInvalid"> | undefined>;
  /** Sends a token for `resetPassword` to the address, if it has an account; nothing tells whether it has. A network has a quota of these. */
  requestReset(
    email: string,
    client: ClientInfo,
  ): Promise<Refusal<"fieldInvalid" | "quotaExhausted" | "mailsWaiting"> | undefined>;
  /** Sets a new password and ends all sessions. */
  resetPassword(
    token: string,
    password: string,
    client: ClientInfo,
    signal: AbortSignal,
  ): Promise<Refusal<"mailTokenInvalid"> | undefined>;
}

/** Recovery of the accounts of a database. */
export function createRecovery(deps: {
  readonly database: Database;
  readonly accounts: Pick<AccountStore, "find" | "lock" | "verifyEmail" | "setPasswordHash">;
  readonly factors: Pick<FactorStore, "find" | "countRecoveryCodes" | "endChallenges">;
  readonly mailStore: Pick<MailStore, "findToken" | "takeToken" | "endTokens">;
  readonly audit: Pick<AuditStore, "append">;
  readonly vault: Vault;
  readonly passwords: PasswordQueue;
  readonly quotas: NetworkQuotas;
  readonly sessions: Pick<Sessions, "endAll">;
  readonly mails: Pick<OutgoingMails, "add">;
  readonly clock: Clock;
}): Recovery {
  const { database, accounts, factors, mailStore, audit, vault, passwords, quotas, sessions, mails, clock } = deps;
  return {
    credentials: async (userId) => {
      const account = await accounts.find(database.sql, userId);
      if (account === undefined) return refuse("credentialsInvalid");
      const { email, emailVerifyTimeMs, createTimeMs } = account;
      const totpEnabled = (await factors.find(database.sql, userId))?.isConfirmed === true;
      const recoveryCodesLeft = await factors.countRecoveryCodes(database.sql, userId);
      return { email, emailVerifyTimeMs, totpEnabled, recoveryCodesLeft, createTimeMs };
    },

    sendVerification: async (userId) => {
      const account = await accounts.find(database.sql, userId);
      if (account === undefined || account.isEmailVerified) return undefined;
      return (await mails.add(database.sql, "VERIFY_EMAIL", account.email)) ? undefined : refuse("mailsWaiting");
    },

    verifyEmail: async (token, client) => {
      const tokenHash = hashOfMailToken(token);
      const userId = await mailStore.findToken(database.sql, "VERIFY_EMAIL", tokenHash, clock.now());
      if (userId === undefined) return refuse("mailTokenInvalid");
      return database.transaction(async (tx) => {
        await accounts.lock(tx, userId);
        if (!(await mailStore.takeToken(tx, "VERIFY_EMAIL", tokenHash))) return refuse("mailTokenInvalid");
        const nowMs = clock.now();
        await accounts.verifyEmail(tx, userId, nowMs);
        await mailStore.endTokens(tx, "VERIFY_EMAIL", userId);
        await audit.append(tx, { action: "VERIFY_EMAIL", outcome: "DONE", client, ...themself(userId) }, nowMs);
        return undefined;
      });
    },

    requestReset: async (written, client) => {
      const email = normaliseEmail(written);
      if (email === undefined) return refuseField("email", emailRule);
      const exhausted = await quotas.take("RESET_PASSWORD", networkOf(client.address));
      if (exhausted !== undefined) return exhausted;
      // The same statements whether the address has an account or not; which of both it is shows when the mail is written.
      const isAdded = await database.transaction(async (tx) => {
        const act = { action: "REQUEST_PASSWORD_RESET", outcome: "DONE", client } as const;
        await audit.append(tx, { ...act, subject: emailSubject(vault, email) }, clock.now());
        return mails.add(tx, "RESET_PASSWORD", email);
      });
      return isAdded ? undefined : refuse("mailsWaiting");
    },

    resetPassword: async (token, password, client, signal) => {
      const tokenHash = hashOfMailToken(token);
      const userId = await mailStore.findToken(database.sql, "RESET_PASSWORD", tokenHash, clock.now());
      if (userId === undefined) return refuse("mailTokenInvalid"); // Before anything is computed: a token is not to be guessed.
      const known = { rank: "known", network: networkOf(client.address) } as const;
      const passwordHash = await passwords.run(known, signal, (hasher) => hasher.hash(password));
      return database.transaction(async (tx) => {
        await accounts.lock(tx, userId);
        if (!(await mailStore.takeToken(tx, "RESET_PASSWORD", tokenHash))) return refuse("mailTokenInvalid");
        const nowMs = clock.now();
        await setPassword(tx, deps, userId, passwordHash, nowMs);
        await sessions.endAll(tx, userId);
        await accounts.verifyEmail(tx, userId, nowMs); // Who holds the token reads mail to the address.
        await audit.append(tx, { action: "RESET_PASSWORD", outcome: "DONE", client, ...themself(userId) }, nowMs);
        return undefined;
      });
    },
  };
}

/** A token says who calls, though the call has no credentials. */
function themself(userId: string): { readonly principal: string; readonly subject: string } {
  return { principal: `person:${userId}`, subject: `person:${userId}` };
}
