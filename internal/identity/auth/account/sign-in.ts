import type { Clock } from "../../../platform/clock/clock.ts";
import type { Random } from "../../../platform/clock/random.ts";
import type { Database, Transaction } from "../../../platform/postgres/database.ts";
import type { ClientInfo } from "../audit/client.ts";
import type { AuditStore } from "../audit/store.ts";
import { isRefusal, type Refusal } from "../../../platform/errors/refusal.ts";
import { refuseField } from "../../../platform/resource/errors.ts";
import { refuse } from "../errors.ts";
import { hashOfChallenge, makeChallenge, type Challenge } from "../factor/challenge.ts";
import type { SecondFactors } from "../factor/second-factor.ts";
import type { FactorStore } from "../factor/store.ts";
import { networkOf } from "../../../platform/identity/network.ts";
import type { Charge, Lockout } from "../lockout/rules.ts";
import type { OutgoingMails } from "../mail/rules.ts";
import type { Vault } from "../secret/vault.ts";
import type { OpenedSession, Sessions } from "../session/rules.ts";
import { emailRule, emailSubject, normaliseKnownEmail } from "./email.ts";
import type { PasswordQueue } from "./password.ts";
import type { SignedIn } from "./rules.ts";
import type { AccountStore } from "./store.ts";

/** Challenges of one person at a time; a further one takes the place of the oldest. */
const challengesPerPersonMax = 16;

/** The password was right, and a code of the second factor is awaited. */
export interface HalfSignedIn {
  readonly userId: string;
  readonly challenge: Challenge;
}

/** Signing in, in one step or two. */
export interface SignIns {
  /**
   * Begins a session, or its first step when the person has a second factor. A wrong password and an unknown address are answered
   * alike, and cost the same. An account whose address is not proven gets a mail instead.
   */
  signIn(
    credentials: { readonly email: string; readonly password: string },
    client: ClientInfo,
    signal: AbortSignal,
  ): Promise<
    | SignedIn
    | HalfSignedIn
    | Refusal<"fieldInvalid" | "signInLocked" | "credentialsInvalid" | "accountSuspended" | "emailNotVerified">
  >;
  /** Begins a session, given a challenge and a code of the second factor. */
  completeSignIn(
    step: { readonly challenge: string; readonly code: string },
    client: ClientInfo,
  ): Promise<
    SignedIn | Refusal<"challengeInvalid" | "signInLocked" | "accountSuspended" | "emailNotVerified" | "codeInvalid">
  >;
}

/** What signing in works on: the accounts of a database, and all that stands between a caller and a session of theirs. */
interface SignInDeps {
  readonly database: Database;
  readonly accounts: Pick<AccountStore, "findByEmail" | "lock" | "setPasswordHash">;
  readonly factors: Pick<FactorStore, "addChallenge" | "findChallenge" | "takeChallenge">;
  readonly audit: Pick<AuditStore, "append">;
  readonly mails: Pick<OutgoingMails, "add">;
  readonly vault: Vault;
  readonly passwords: PasswordQueue;
  readonly lockout: Lockout;
  readonly sessions: Pick<Sessions, "open" | "handOut">;
  readonly secondFactors: Pick<SecondFactors, "isInForce" | "use">;
  readonly clock: Clock;
  readonly random: Random;
}

/** Signing in to the accounts of a database. */
export function createSignIns(deps: SignInDeps): SignIns {
  const { database, accounts, factors, passwords, lockout, sessions, secondFactors, clock, random } = deps;

  /** Counts the attempt and compares the password, in a slot of the queue. */
  const tryPassword = (email: string, password: string, client: ClientInfo, signal: AbortSignal) => {
    const network = networkOf(client.address);
    const isKnown = (): Promise<boolean> => lockout.isFamiliar({ email, network });
    return passwords.run({ rank: "sign-in", network, isKnown }, signal, async (hasher) => {
      const charged = await lockout.charge({ email, network });
      if (isRefusal(charged)) return charged;
      const account = await accounts.findByEmail(database.sql, email);
      const isRight = await hasher.verify(password, account?.passwordHash);
      if (!isRight || account === undefined) return { charged, proven: undefined };
      const rehashed = hasher.isOutdated(account.passwordHash) ? await hasher.hash(password) : undefined;
      return { charged, proven: { account, rehashed } };
    });
  };

  return {
    signIn: async ({ email: written, password }, client, signal) => {
      const email = normaliseKnownEmail(written);
      if (email === undefined) return refuseField("email", emailRule);
      const tried = await tryPassword(email, password, client, signal);
      if (isRefusal(tried)) return tried;
      const { charged, proven } = tried;
      const outcome =
        proven === undefined
          ? refuse("credentialsInvalid")
          : await database.transaction(async (tx) => {
              const { userId, passwordHash } = proven.account;
              const account = await accounts.lock(tx, userId);
              // A password that was changed meanwhile opens nothing.
              if (account?.passwordHash !== passwordHash) return refuse("credentialsInvalid");
              if (account.isSuspended) return refuse("accountSuspended");
              if (!account.isEmailVerified) return askForProof(tx, deps, account.email, charged);
              if (proven.rehashed !== undefined) await accounts.setPasswordHash(tx, userId, proven.rehashed);
              if (!(await secondFactors.isInForce(tx, userId))) {
                return { userId, opened: await open(tx, deps, userId, client, charged, "") };
              }
              await lockout.forgive(tx, charged, "step");
              const challenge = makeChallenge(random, clock.now());
              const { text, expireTimeMs } = challenge;
              const kept = { userId, challengeHash: hashOfChallenge(text), expireTimeMs };
              await factors.addChallenge(tx, kept, challengesPerPersonMax);
              return { userId, challenge };
            });
      if (isRefusal(outcome)) {
        await recordRefused(deps, email, client, charged);
        return outcome;
      }
      if (outcome.opened === undefined) return outcome;
      return { userId: outcome.userId, tokens: await sessions.handOut(outcome.userId, outcome.opened) };
    },

    completeSignIn: async ({ challenge, code }, client) => {
      const challengeHash = hashOfChallenge(challenge);
      const found = await factors.findChallenge(database.sql, challengeHash, clock.now());
      if (found === undefined) return refuse("challengeInvalid");
      const { userId, email } = found;
      const charged = await lockout.charge({ email, network: networkOf(client.address) });
      if (isRefusal(charged)) return charged;
      const outcome = await database.transaction(async (tx) => {
        const account = await accounts.lock(tx, userId);
        if (account?.isSuspended === true) return refuse("accountSuspended");
        if (account?.isEmailVerified === false) return askForProof(tx, deps, email, charged);
        const used = await secondFactors.use(tx, userId, code);
        if (used === undefined) return refuse("codeInvalid");
        // Another call was faster, or the password was changed: the code is used up all the same.
        if (!(await factors.takeChallenge(tx, challengeHash))) return refuse("challengeInvalid");
        return open(tx, deps, userId, client, charged, used);
      });
      if (isRefusal(outcome)) {
        await recordRefused(deps, email, client, charged);
        return outcome;
      }
      return { userId, tokens: await sessions.handOut(userId, outcome) };
    },
  };
}

/** Sends a token for VerifyEmail, by which who knows the password of an account from before that was asked for comes to a session. */
async function askForProof(
  tx: Transaction,
  { mails, lockout }: SignInDeps,
  email: string,
  charged: Charge,
): Promise<Refusal<"emailNotVerified">> {
  await mails.add(tx, "VERIFY_EMAIL", email); // Where too many wait, the next sign-in sends it.
  await lockout.forgive(tx, charged, "step");
  return refuse("emailNotVerified");
}

/** Opens a session for who has shown all that is asked for; `detail` says by which second factor. */
async function open(
  tx: Transaction,
  { sessions, lockout, audit, clock }: SignInDeps,
  userId: string,
  client: ClientInfo,
  charged: Charge,
  detail: string,
): Promise<OpenedSession> {
  const opened = await sessions.open(tx, userId, client);
  await lockout.forgive(tx, charged, "whole");
  await lockout.rememberNetwork(tx, userId, networkOf(client.address));
  const act = { action: "SIGN_IN", outcome: "DONE", client, principal: `person:${userId}`, detail } as const;
  await audit.append(tx, { ...act, subject: `session:${opened.sessionId}` }, clock.now());
  return opened;
}

async function recordRefused(
  { database, audit, vault, clock }: SignInDeps,
  email: string,
  client: ClientInfo,
  charged: Charge,
): Promise<void> {
  const act = { action: "SIGN_IN", outcome: "REFUSED", client, subject: emailSubject(vault, email) } as const;
  await audit.append(database.sql, { ...act, detail: charged.locks ? "LOCK_BEGINS" : "" }, clock.now());
}
