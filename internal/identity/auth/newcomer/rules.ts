import type { Database, Transaction } from "../../../platform/postgres/database.ts";
import { takeLock } from "../../../platform/postgres/advisory-lock.ts";
import { isRefusal, type Refusal } from "../../../platform/errors/refusal.ts";
import { networkOf } from "../../../platform/identity/network.ts";
import { refuseField, resourceErrors } from "../../../platform/resource/errors.ts";
import { emailRule, emailSubject, normaliseEmail } from "../account/email.ts";
import { refuseNewPassword, type PasswordQueue } from "../account/password.ts";
import type { SignedIn } from "../account/rules.ts";
import type { AccountStore } from "../account/store.ts";
import type { ClientInfo } from "../audit/client.ts";
import type { AuthConfig } from "../config.ts";
import { refuse } from "../errors.ts";
import type { Lockout } from "../lockout/rules.ts";
import type { OutgoingMails } from "../mail/rules.ts";
import type { MailStore } from "../mail/store.ts";
import { hashOfMailToken, newcomerLifeMs } from "../mail/token.ts";
import type { NetworkQuotas } from "../quota/rules.ts";
import type { Vault } from "../secret/vault.ts";
import type { Sessions } from "../session/rules.ts";
import { admit, openFirst, type AdmissionDeps } from "./admission.ts";
import type { Invited, NewcomerStore } from "./store.ts";

/** Invitations that are open at a time. */
const invitationsMax = 10_000;

/** What a person gives to sign up. */
export interface NewAccount {
  readonly email: string;
  readonly password: string;
  readonly displayName: string;
}

/** That nobody gets an account in this way here. */
export type ClosedRefusal = Refusal<"invitationRequired" | "signUpClosed">;

/** How people who have no account come to one. */
export interface Newcomers {
  /**
   * Asks for an account; a mail goes to the address, and the account begins with its token. The same is done, in the same time, for an
   * address that has an account: what the mail says shows when it is written.
   */
  signUp(
    account: NewAccount,
    client: ClientInfo,
    signal: AbortSignal,
  ): Promise<ClosedRefusal | Refusal<"fieldInvalid" | "quotaExhausted" | "mailsWaiting"> | undefined>;
  /** Invites somebody by mail. The same request of the same caller, while it is open, gives the same and sends nothing. */
  invite(
    invitation: { readonly email: string; readonly requestId: string },
    client: ClientInfo,
  ): Promise<
    | Invited
    | Refusal<
        "signUpClosed" | "fieldInvalid" | "requestIdReused" | "emailTaken" | "tooManyInvitations" | "mailsWaiting"
      >
  >;
  /** Begins the account of who was invited, and its first session. */
  accept(
    acceptance: { readonly token: string; readonly password: string; readonly displayName: string },
    client: ClientInfo,
    signal: AbortSignal,
  ): Promise<SignedIn | Refusal<"signUpClosed" | "fieldInvalid" | "mailTokenInvalid">>;
}

/** What newcomers are admitted by: the setting, what bounds them, and what they begin with. */
interface NewcomerDeps extends AdmissionDeps {
  readonly database: Database;
  readonly newcomers: NewcomerStore;
  readonly accounts: Pick<AccountStore, "insert" | "findByEmail">;
  readonly mailStore: Pick<MailStore, "findToken" | "takeToken">;
  readonly mails: Pick<OutgoingMails, "addToNewcomer">;
  readonly passwords: PasswordQueue;
  readonly quotas: NetworkQuotas;
  readonly lockout: Pick<Lockout, "rememberNetwork">;
  readonly sessions: Pick<Sessions, "open" | "handOut">;
  readonly vault: Vault;
  readonly config: Pick<AuthConfig, "signUp">;
}

/** The newcomers of a database. */
export function createNewcomers(deps: NewcomerDeps): Newcomers {
  const { database, newcomers, mailStore, mails, passwords, quotas, sessions, audit, vault, clock } = deps;
  return {
    signUp: async ({ email: written, password, displayName }, client, signal) => {
      const closed = closedToUninvited(deps.config);
      if (closed !== undefined) return closed;
      const email = normaliseEmail(written);
      if (email === undefined) return refuseField("email", emailRule);
      const unfit = refuseNewPassword("password", password);
      if (unfit !== undefined) return unfit;
      const network = networkOf(client.address);
      const exhausted = (await quotas.take("SIGN_UP", network)) ?? (await quotas.take("VERIFY_EMAIL", network));
      if (exhausted !== undefined) return exhausted;
      const asker = { rank: "sign-up", network } as const;
      const passwordHash = await passwords.run(asker, signal, (hasher) => hasher.hash(password));
      // The same statements whether the address has an account or not; which of both it is shows when the mail is written.
      return database.transaction(async (tx) => {
        const newcomer = { ...begin(deps), email, displayName, passwordHash };
        if (!(await mails.addToNewcomer(tx, "VERIFY_EMAIL", newcomer.newcomerId))) return refuse("mailsWaiting");
        await newcomers.insert(tx, newcomer);
        const act = { action: "REQUEST_SIGN_UP", outcome: "DONE", client } as const;
        await audit.append(tx, { ...act, subject: emailSubject(vault, email) }, clock.now());
        return undefined;
      });
    },

    invite: async (invitation, client) => {
      if (deps.config.signUp === "closed") return refuse("signUpClosed");
      const email = normaliseEmail(invitation.email);
      if (email === undefined) return refuseField("email", emailRule);
      return database.transaction((tx) => invite(tx, deps, { ...invitation, email }, client));
    },

    accept: async ({ token, password, displayName }, client, signal) => {
      if (deps.config.signUp === "closed") return refuse("signUpClosed");
      const unfit = refuseNewPassword("password", password);
      if (unfit !== undefined) return unfit;
      const tokenHash = hashOfMailToken(token);
      const owner = await mailStore.findToken(database.sql, "ACCEPT_INVITATION", tokenHash, clock.now());
      // Before anything is computed: a token is not to be guessed.
      if (owner?.newcomerId === undefined) return refuse("mailTokenInvalid");
      const { newcomerId } = owner;
      const known = { rank: "known", network: networkOf(client.address) } as const;
      const passwordHash = await passwords.run(known, signal, (hasher) => hasher.hash(password));
      const admitted = await database.transaction(async (tx) => {
        const newcomer = await newcomers.lock(tx, newcomerId);
        const isTaken = await mailStore.takeToken(tx, "ACCEPT_INVITATION", tokenHash);
        if (newcomer === undefined || !isTaken) return refuse("mailTokenInvalid");
        const userId = await admit(tx, deps, newcomer, { passwordHash, displayName }, client);
        if (userId === undefined) return refuse("mailTokenInvalid"); // They signed up meanwhile.
        return { userId, opened: await openFirst(tx, deps, userId, client) };
      });
      if (isRefusal(admitted)) return admitted;
      return { userId: admitted.userId, tokens: await sessions.handOut(admitted.userId, admitted.opened) };
    },
  };
}

/** Why somebody who signed up gets no account here; `undefined` where whoever asks does. */
export function closedToUninvited({ signUp }: Pick<AuthConfig, "signUp">): ClosedRefusal | undefined {
  if (signUp === "open") return undefined;
  return signUp === "invite" ? refuse("invitationRequired") : refuse("signUpClosed");
}

/** A newcomer's id and times. */
function begin({ clock, random }: Pick<NewcomerDeps, "clock" | "random">) {
  const createTimeMs = clock.now();
  return { newcomerId: random.uuid(), createTimeMs, expireTimeMs: createTimeMs + newcomerLifeMs };
}

/** Invites who has a normalised address. A refusal has changed nothing. */
async function invite(
  tx: Transaction,
  deps: NewcomerDeps,
  { email, requestId }: { readonly email: string; readonly requestId: string },
  client: ClientInfo,
): Promise<Invited | Refusal<"requestIdReused" | "emailTaken" | "tooManyInvitations" | "mailsWaiting">> {
  const { newcomers, accounts, mails, audit, clock } = deps;
  await takeLock(tx, "muin auth invitations"); // A repeat that comes at once sees the first.
  const inviter = { principal: client.principal, requestId };
  const known = await newcomers.findInvited(tx, inviter, clock.now());
  if (known !== undefined) return known.email === email ? { ...known, inviter: client.principal } : refuseReused();
  if ((await accounts.findByEmail(tx, email)) !== undefined) return refuse("emailTaken");
  if ((await newcomers.countInvited(tx, clock.now(), invitationsMax)) >= invitationsMax) {
    return refuse("tooManyInvitations", { max: String(invitationsMax) });
  }
  const newcomer = { ...begin(deps), email, displayName: "", passwordHash: undefined };
  if (!(await mails.addToNewcomer(tx, "ACCEPT_INVITATION", newcomer.newcomerId))) return refuse("mailsWaiting");
  await newcomers.insert(tx, newcomer, inviter);
  const act = { action: "INVITE_PERSON", outcome: "DONE", client } as const;
  await audit.append(tx, { ...act, subject: emailSubject(deps.vault, email) }, clock.now());
  return { ...newcomer, inviter: client.principal };
}

function refuseReused(): Refusal<"requestIdReused"> {
  const violations = [{ field: "request_id", description: "was used for another address" }];
  return { refused: "requestIdReused", error: resourceErrors.requestIdReused({ violations }) };
}
