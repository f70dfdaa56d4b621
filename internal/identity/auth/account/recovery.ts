import type { Database, Transaction } from "../../../platform/postgres/database.ts";
import type { ClientInfo } from "../audit/client.ts";
import { isRefusal, type Refusal } from "../../../platform/errors/refusal.ts";
import { refuseField } from "../../../platform/resource/errors.ts";
import { refuse } from "../errors.ts";
import { endApiKeysOf } from "../api-key/rules.ts";
import type { ApiKeyStore } from "../api-key/store.ts";
import type { AuthConfig } from "../config.ts";
import { endDevicesOf } from "../device/rules.ts";
import type { DeviceStore } from "../device/store.ts";
import type { FactorStore } from "../factor/store.ts";
import { networkOf } from "../../../platform/identity/network.ts";
import type { Lockout } from "../lockout/rules.ts";
import type { OutgoingMails } from "../mail/rules.ts";
import type { MailStore } from "../mail/store.ts";
import { hashOfMailToken } from "../mail/token.ts";
import { admit, openFirst, type AdmissionDeps } from "../newcomer/admission.ts";
import { closedToUninvited, type ClosedRefusal } from "../newcomer/rules.ts";
import type { NewcomerStore } from "../newcomer/store.ts";
import type { NetworkQuotas } from "../quota/rules.ts";
import type { Vault } from "../secret/vault.ts";
import type { OpenedSession, Sessions, Tokens } from "../session/rules.ts";
import { emailRule, emailSubject, normaliseKnownEmail } from "./email.ts";
import { refuseNewPassword, type PasswordQueue } from "./password.ts";
import { isLapsed } from "./proven.ts";
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
  /** Marks the address of an account as verified; begins the account of who signed up, with its first session. */
  verifyEmail(
    token: string,
    client: ClientInfo,
  ): Promise<
    { readonly userId: string; readonly tokens: Tokens | undefined } | ClosedRefusal | Refusal<"mailTokenInvalid">
  >;
  /** Sends a token for `resetPassword` to the address, if it has an account or somebody signed up with it; nothing tells whether it has. A network has a quota of these. */
  requestReset(
    email: string,
    client: ClientInfo,
  ): Promise<Refusal<"fieldInvalid" | "quotaExhausted" | "mailsWaiting"> | undefined>;
  /**
   * Sets a new password and ends all sessions. The first proof that mail to the address is read wipes what was set before it; it begins
   * the account of who signed up.
   */
  resetPassword(
    token: string,
    password: string,
    client: ClientInfo,
    signal: AbortSignal,
  ): Promise<ClosedRefusal | Refusal<"fieldInvalid" | "mailTokenInvalid"> | undefined>;
}

/** What recovery works on: accounts and newcomers of a database, the mails to them, and what bounds and records all that. */
interface RecoveryDeps extends AdmissionDeps {
  readonly database: Database;
  readonly accounts: Pick<AccountStore, "find" | "lock" | "verifyEmail" | "setPasswordHash" | "insert">;
  readonly newcomers: Pick<NewcomerStore, "lock" | "removeByEmail">;
  readonly factors: Pick<FactorStore, "find" | "countRecoveryCodes" | "endChallenges" | "remove">;
  readonly apiKeys: Pick<ApiKeyStore, "lockOfOwner" | "revoke">;
  readonly devices: Pick<DeviceStore, "lockOfOwner" | "revoke">;
  readonly mailStore: Pick<MailStore, "findToken" | "takeToken" | "endTokens">;
  readonly vault: Vault;
  readonly passwords: PasswordQueue;
  readonly quotas: NetworkQuotas;
  readonly lockout: Pick<Lockout, "rememberNetwork">;
  readonly sessions: Pick<Sessions, "open" | "handOut" | "endAll">;
  readonly mails: Pick<OutgoingMails, "add">;
  readonly config: Pick<AuthConfig, "signUp">;
}

/** Recovery of the accounts of a database. */
export function createRecovery(deps: RecoveryDeps): Recovery {
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
      const owner = await mailStore.findToken(database.sql, "VERIFY_EMAIL", tokenHash, clock.now());
      if (owner === undefined) return refuse("mailTokenInvalid");
      const verified = await database.transaction(
        (tx): Promise<Verified | ClosedRefusal | Refusal<"mailTokenInvalid">> =>
          owner.userId === undefined
            ? beginSignedUp(tx, deps, owner.newcomerId, tokenHash, client)
            : verify(tx, deps, owner.userId, tokenHash, client),
      );
      if (isRefusal(verified)) return verified;
      const { userId, opened } = verified;
      return { userId, tokens: opened && (await sessions.handOut(userId, opened)) };
    },

    requestReset: async (written, client) => {
      const email = normaliseKnownEmail(written);
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
      const unfit = refuseNewPassword("new_password", password);
      if (unfit !== undefined) return unfit;
      const tokenHash = hashOfMailToken(token);
      const owner = await mailStore.findToken(database.sql, "RESET_PASSWORD", tokenHash, clock.now());
      if (owner === undefined) return refuse("mailTokenInvalid"); // Before anything is computed: a token is not to be guessed.
      const known = { rank: "known", network: networkOf(client.address) } as const;
      const passwordHash = await passwords.run(known, signal, (hasher) => hasher.hash(password));
      return database.transaction((tx): Promise<ClosedRefusal | Refusal<"mailTokenInvalid"> | undefined> =>
        owner.userId === undefined
          ? beginReset(tx, deps, owner.newcomerId, { tokenHash, passwordHash }, client)
          : reset(tx, deps, owner.userId, { tokenHash, passwordHash }, client),
      );
    },
  };
}

/** Whose address was verified, and the first session where their account began with it. */
interface Verified {
  readonly userId: string;
  readonly opened: OpenedSession | undefined;
}

/** Marks the address of an account as verified. */
async function verify(
  tx: Transaction,
  { accounts, mailStore, audit, clock }: RecoveryDeps,
  userId: string,
  tokenHash: Uint8Array,
  client: ClientInfo,
): Promise<Verified | Refusal<"mailTokenInvalid">> {
  const account = await accounts.lock(tx, userId);
  if (!(await mailStore.takeToken(tx, "VERIFY_EMAIL", tokenHash))) return refuse("mailTokenInvalid");
  const nowMs = clock.now();
  if (account === undefined || isLapsed(account, nowMs)) return refuse("mailTokenInvalid");
  await accounts.verifyEmail(tx, userId, nowMs);
  await mailStore.endTokens(tx, "VERIFY_EMAIL", userId);
  await audit.append(tx, { action: "VERIFY_EMAIL", outcome: "DONE", client, ...themself(userId) }, nowMs);
  return { userId, opened: undefined };
}

/** Begins the account of who signed up, with the password of this very sign-up. */
async function beginSignedUp(
  tx: Transaction,
  deps: RecoveryDeps,
  newcomerId: string,
  tokenHash: Uint8Array,
  client: ClientInfo,
): Promise<Verified | ClosedRefusal | Refusal<"mailTokenInvalid">> {
  const closed = closedToUninvited(deps.config);
  if (closed !== undefined) return closed;
  const newcomer = await deps.newcomers.lock(tx, newcomerId);
  const isTaken = await deps.mailStore.takeToken(tx, "VERIFY_EMAIL", tokenHash);
  if (newcomer?.passwordHash === undefined || !isTaken) return refuse("mailTokenInvalid");
  const { passwordHash, displayName } = newcomer;
  const userId = await admit(tx, deps, newcomer, { passwordHash, displayName }, client);
  if (userId === undefined) return refuse("mailTokenInvalid"); // The address has an account by now.
  return { userId, opened: await openFirst(tx, deps, userId, client) };
}

/** Sets the password of an account. */
async function reset(
  tx: Transaction,
  deps: RecoveryDeps,
  userId: string,
  { tokenHash, passwordHash }: { readonly tokenHash: Uint8Array; readonly passwordHash: string },
  client: ClientInfo,
): Promise<Refusal<"mailTokenInvalid"> | undefined> {
  const { accounts, mailStore, sessions, audit, clock } = deps;
  const account = await accounts.lock(tx, userId);
  if (!(await mailStore.takeToken(tx, "RESET_PASSWORD", tokenHash))) return refuse("mailTokenInvalid");
  const nowMs = clock.now();
  if (account === undefined || isLapsed(account, nowMs)) return refuse("mailTokenInvalid");
  await setPassword(tx, deps, userId, passwordHash, nowMs);
  await sessions.endAll(tx, userId);
  if (!account.isEmailVerified) await wipe(tx, deps, userId, { ...client, ...themself(userId) });
  await accounts.verifyEmail(tx, userId, nowMs); // Who holds the token reads mail to the address.
  await audit.append(tx, { action: "RESET_PASSWORD", outcome: "DONE", client, ...themself(userId) }, nowMs);
  return undefined;
}

/** Ends what was set before the first proof of an address: whoever set it may be somebody else, who gave an address that was not theirs. */
async function wipe(tx: Transaction, deps: RecoveryDeps, userId: string, client: ClientInfo): Promise<void> {
  await deps.factors.remove(tx, userId);
  await endApiKeysOf(tx, { ...deps, store: deps.apiKeys }, userId, client);
  await endDevicesOf(tx, { ...deps, store: deps.devices }, userId, client);
}

/** Begins the account of who signed up with the password that is set now, and nothing of the sign-up. */
async function beginReset(
  tx: Transaction,
  deps: RecoveryDeps,
  newcomerId: string,
  { tokenHash, passwordHash }: { readonly tokenHash: Uint8Array; readonly passwordHash: string },
  client: ClientInfo,
): Promise<ClosedRefusal | Refusal<"mailTokenInvalid"> | undefined> {
  const closed = closedToUninvited(deps.config);
  if (closed !== undefined) return closed;
  const newcomer = await deps.newcomers.lock(tx, newcomerId);
  const isTaken = await deps.mailStore.takeToken(tx, "RESET_PASSWORD", tokenHash);
  if (newcomer === undefined || !isTaken) return refuse("mailTokenInvalid");
  const userId = await admit(tx, deps, newcomer, { passwordHash, displayName: "" }, client);
  return userId === undefined ? refuse("mailTokenInvalid") : undefined;
}

/** A token says who calls, though the call has no credentials. */
function themself(userId: string): { readonly principal: string; readonly subject: string } {
  return { principal: `person:${userId}`, subject: `person:${userId}` };
}
