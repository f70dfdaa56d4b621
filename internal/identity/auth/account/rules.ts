import type { Clock } from "../../../platform/clock/clock.ts";
import type { Random } from "../../../platform/clock/random.ts";
import { assertNever } from "../../../platform/errors/assert-never.ts";
import { MuinError } from "../../../platform/errors/muin-error.ts";
import type { Database, Transaction } from "../../../platform/postgres/database.ts";
import { recordAct, type Action } from "../audit/log.ts";
import { endChallenges, findChallenge, makeChallenge, takeChallenge, type Challenge } from "../factor/challenge.ts";
import { networkOf, type ClientInfo } from "../audit/client.ts";
import { normaliseEmail } from "./email.ts";
import {
  accountSuspended,
  badChallenge,
  badCode,
  badCredentials,
  emailTaken,
  invalidEmail,
  personNotFound,
  wrongPassword,
} from "../errors.ts";
import { publishUserCreated, type AuthPublish } from "../events.ts";
import { chargeAttempt, forgiveAttempt, rememberNetwork, type Attempt, type Charge } from "../lockout/rules.ts";
import { endMailTokens } from "../mail/token.ts";
import type { OutgoingMails } from "../mail/rules.ts";
import type { PasswordHasher, PasswordQueue } from "./password.ts";
import type { PersonKeys } from "../person-key/rules.ts";
import { isUuid } from "../request.ts";
import type { Role } from "../scope/role.ts";
import type { SecondFactors } from "../factor/rules.ts";
import type { OpenedSession, Sessions, Tokens } from "../session/rules.ts";
import type { Vault } from "../secret/vault.ts";

/** What an account begins with. */
export interface NewAccount {
  readonly email: string;
  readonly password: string;
  readonly displayName: string;
}

/** A session that has begun. */
export interface SignedIn {
  readonly userId: string;
  readonly tokens: Tokens;
}

/** A signed-in person, who shows that they know their password. */
export interface PasswordProof {
  readonly userId: string;
  readonly password: string;
}

/** The rules of accounts. */
export interface Accounts {
  /** Creates an account and its first session. */
  signUp(account: NewAccount, client: ClientInfo, signal: AbortSignal): Promise<SignedIn>;
  /** Begins a session, or its first step when the person has a second factor. */
  signIn(
    credentials: { readonly email: string; readonly password: string },
    client: ClientInfo,
    signal: AbortSignal,
  ): Promise<SignedIn | { readonly userId: string; readonly challenge: Challenge }>;
  /** Begins a session, given a challenge and a code of the second factor. */
  completeSignIn(step: { readonly challenge: string; readonly code: string }, client: ClientInfo): Promise<SignedIn>;
  /** Changes a person's password and ends all their sessions but the one that asks. */
  changePassword(
    proof: PasswordProof & { readonly sessionId: string },
    next: string,
    client: ClientInfo,
    signal: AbortSignal,
  ): Promise<void>;
  /** Makes the secret of a second factor, which is not in force yet; with the person's address. */
  beginTotp(
    proof: PasswordProof,
    client: ClientInfo,
    signal: AbortSignal,
  ): Promise<{ readonly secret: Uint8Array; readonly email: string }>;
  /** Puts the second factor into force, given a code of it. Returns the recovery codes. */
  confirmTotp(userId: string, code: string, client: ClientInfo): Promise<readonly string[]>;
  /** Removes the second factor, given a code of it. */
  disableTotp(proof: PasswordProof, code: string, client: ClientInfo, signal: AbortSignal): Promise<void>;
  /** Removes the second factor of a person who has lost it, and ends their sessions and what they began to sign in. */
  resetTotp(userId: string, client: ClientInfo): Promise<void>;
}

/** What the rules use. */
export interface AccountDeps {
  readonly database: Database;
  readonly publish: AuthPublish;
  readonly vault: Vault;
  readonly passwords: PasswordQueue;
  readonly sessions: Sessions;
  readonly secondFactors: SecondFactors;
  readonly personKeys: PersonKeys;
  readonly mails: OutgoingMails;
  readonly clock: Clock;
  readonly random: Random;
}

/** Makes the rules. */
export function createAccounts(deps: AccountDeps): Accounts {
  const { database, vault, passwords, sessions, secondFactors, clock, random } = deps;

  const charge = (attempt: Attempt): Promise<Charge> =>
    database.transaction((tx) => chargeAttempt(tx, vault, attempt, clock.now()));
  const refused = (action: Action, subject: string, client: ClientInfo, charged: Charge): Promise<void> =>
    recordAct(
      database.sql,
      { action, outcome: "REFUSED", client, subject, detail: charged.locks ? "LOCK_BEGINS" : "" },
      clock.now(),
    );
  /** Opens a session for who has shown all that is asked for. */
  const open = async (
    tx: Transaction,
    userId: string,
    client: ClientInfo,
    charged: Charge,
    detail: string,
  ): Promise<OpenedSession> => {
    const opened = await sessions.open(tx, userId, client);
    await forgiveAttempt(tx, charged, "whole");
    await rememberNetwork(tx, vault, userId, networkOf(client.address), clock.now());
    const act = { action: "SIGN_IN", outcome: "DONE", client, principal: `person:${userId}`, detail } as const;
    await recordAct(tx, { ...act, subject: `session:${opened.sessionId}` }, clock.now());
    return opened;
  };
  /** Records what was refused for what it was given, and passes it on. */
  const recordRefusal = async (
    error: unknown,
    action: Action,
    userId: string,
    client: ClientInfo,
    charged: Charge,
  ): Promise<never> => {
    if (error instanceof MuinError && error.code === "permission_denied") {
      await refused(action, `person:${userId}`, client, charged);
    }
    throw error;
  };

  /**
   * Does `effect` with the lock of the account's row if the password is right. Counted as sign-ins are: a stolen access token gives
   * no free guesses. `prepare` hashes what `effect` needs, once the password is known to be right.
   */
  const withPassword = async <P, T>(
    { userId, password }: PasswordProof,
    action: Action,
    client: ClientInfo,
    signal: AbortSignal,
    prepare: (hasher: PasswordHasher) => Promise<P>,
    effect: (tx: Transaction, prepared: P, email: string) => Promise<T>,
  ): Promise<T> => {
    const { charged, email, hash, proven } = await passwords.run(signal, async (hasher) => {
      const [row] = await database.sql<{ email: string; password_hash: string }[]>`
        SELECT email, password_hash FROM accounts WHERE user_id = ${userId}`;
      if (row === undefined) throw badCredentials();
      const { email, password_hash: hash } = row;
      const charged = await charge({ email, network: networkOf(client.address) });
      const matches = await hasher.verify(password, hash);
      return { charged, email, hash, proven: matches ? { prepared: await prepare(hasher) } : undefined };
    });
    try {
      if (proven === undefined) throw wrongPassword();
      return await database.transaction(async (tx) => {
        if ((await lockAccount(tx, userId))?.passwordHash !== hash) throw wrongPassword();
        const result = await effect(tx, proven.prepared, email);
        await forgiveAttempt(tx, charged, (await secondFactors.isInForce(tx, userId)) ? "step" : "whole");
        await recordAct(tx, { action, outcome: "DONE", client, subject: `person:${userId}` }, clock.now());
        return result;
      });
    } catch (error) {
      return recordRefusal(error, action, userId, client, charged);
    }
  };

  return {
    signUp: async ({ email: written, password, displayName }, client, signal) => {
      const email = normaliseEmail(written);
      if (email === undefined) throw invalidEmail();
      // Hashed before it is known whether the address is free, so that both cost the same.
      const { charged, passwordHash } = await passwords.run(signal, async (hasher) => ({
        charged: await charge({ email: "", network: networkOf(client.address) }),
        passwordHash: await hasher.hash(password),
      }));
      const created = await database.transaction(async (tx) => {
        const userId = await insertAccount(tx, deps, { email, passwordHash, displayName, role: "member" });
        if (userId === undefined) return undefined;
        const opened = await sessions.open(tx, userId, client);
        await forgiveAttempt(tx, charged, "whole");
        await rememberNetwork(tx, vault, userId, networkOf(client.address), clock.now());
        const subject = `person:${userId}`;
        // Without room for one more mail there is an account all the same: its owner can ask for the mail later.
        await deps.mails.add(tx, "VERIFY_EMAIL", email);
        await recordAct(tx, { action: "SIGN_UP", outcome: "DONE", client, principal: subject, subject }, clock.now());
        return { userId, opened };
      });
      if (created === undefined) {
        await refused("SIGN_UP", emailSubject(vault, email), client, charged);
        throw emailTaken();
      }
      const { userId, opened } = created;
      return { userId, tokens: await sessions.handOut(userId, opened) };
    },

    signIn: async ({ email: written, password }, client, signal) => {
      const email = normaliseEmail(written);
      if (email === undefined) throw invalidEmail();
      const network = networkOf(client.address);
      const { charged, account, matches, rehashed } = await passwords.run(signal, async (hasher) => {
        const charged = await charge({ email, network });
        const account = await findAccount(database, email);
        const matches = await hasher.verify(password, account?.passwordHash);
        const outdated = matches && account !== undefined && hasher.isOutdated(account.passwordHash);
        return { charged, account, matches, rehashed: outdated ? await hasher.hash(password) : undefined };
      });
      const outcome =
        matches && account !== undefined
          ? await database.transaction(async (tx) => {
              const { userId } = account;
              const locked = await lockAccount(tx, userId);
              // A password that was changed meanwhile opens nothing.
              if (locked?.passwordHash !== account.passwordHash) return undefined;
              if (locked.isSuspended) return "suspended";
              if (rehashed !== undefined) {
                await tx`UPDATE accounts SET password_hash = ${rehashed} WHERE user_id = ${userId}`;
              }
              if (!(await secondFactors.isInForce(tx, userId))) {
                return { userId, opened: await open(tx, userId, client, charged, "") };
              }
              await forgiveAttempt(tx, charged, "step");
              return { userId, challenge: await makeChallenge(tx, random, userId, clock.now()) };
            })
          : undefined;
      if (outcome === undefined || outcome === "suspended") {
        await refused("SIGN_IN", emailSubject(vault, email), client, charged);
        throw outcome === undefined ? badCredentials() : accountSuspended();
      }
      if (outcome.opened === undefined) return outcome;
      return { userId: outcome.userId, tokens: await sessions.handOut(outcome.userId, outcome.opened) };
    },

    completeSignIn: async ({ challenge, code }, client) => {
      const found = await findChallenge(database, challenge, clock.now());
      if (found === undefined) throw badChallenge();
      const { userId, email } = found;
      const charged = await charge({ email, network: networkOf(client.address) });
      const outcome = await database.transaction(async (tx) => {
        const locked = await lockAccount(tx, userId);
        if (locked?.isSuspended === true) return "suspended";
        const used = await secondFactors.use(tx, userId, code);
        if (used === undefined) return "wrong";
        // Another call was faster, or the password was changed: the code is used up all the same.
        if (!(await takeChallenge(tx, challenge))) return "taken";
        return open(tx, userId, client, charged, used);
      });
      if (typeof outcome !== "string") return { userId, tokens: await sessions.handOut(userId, outcome) };
      await refused("SIGN_IN", emailSubject(vault, email), client, charged);
      switch (outcome) {
        case "suspended":
          throw accountSuspended();
        case "wrong":
          throw badCode("unauthenticated");
        case "taken":
          throw badChallenge();
        default:
          return assertNever(outcome);
      }
    },

    changePassword: (proof, next, client, signal) =>
      withPassword(
        proof,
        "CHANGE_PASSWORD",
        client,
        signal,
        (hasher) => hasher.hash(next),
        async (tx, passwordHash) => {
          await setPassword(tx, proof.userId, passwordHash, clock.now());
          await sessions.endAll(tx, proof.userId, proof.sessionId);
        },
      ),

    beginTotp: (proof, client, signal) =>
      withPassword(proof, "BEGIN_TOTP", client, signal, nothing, async (tx, _, email) => ({
        secret: await secondFactors.begin(tx, proof.userId),
        email,
      })),

    confirmTotp: async (userId, code, client) => {
      const [account] = await database.sql<{ email: string }[]>`SELECT email FROM accounts WHERE user_id = ${userId}`;
      if (account === undefined) throw badCredentials();
      const charged = await charge({ email: account.email, network: networkOf(client.address) });
      try {
        return await database.transaction(async (tx) => {
          await lockAccount(tx, userId);
          const codes = await secondFactors.confirm(tx, userId, code);
          await forgiveAttempt(tx, charged, "step");
          const act = { action: "CONFIRM_TOTP", outcome: "DONE", client, subject: `person:${userId}` } as const;
          await recordAct(tx, act, clock.now());
          return codes;
        });
      } catch (error) {
        return recordRefusal(error, "CONFIRM_TOTP", userId, client, charged);
      }
    },

    disableTotp: (proof, code, client, signal) =>
      withPassword(proof, "DISABLE_TOTP", client, signal, nothing, (tx) =>
        secondFactors.disable(tx, proof.userId, code),
      ),

    resetTotp: (userId, client) =>
      database.transaction(async (tx) => {
        if (!isUuid(userId) || (await lockAccount(tx, userId)) === undefined) throw personNotFound();
        await secondFactors.reset(tx, userId);
        await endChallenges(tx, userId);
        await sessions.endAll(tx, userId);
        const act = { action: "RESET_TOTP", outcome: "DONE", client, subject: `person:${userId}` } as const;
        await recordAct(tx, act, clock.now());
      }),
  };
}

const nothing = (): Promise<undefined> => Promise.resolve(undefined);

/** Sets a password and ends what was begun with the former one, but sessions. `tx` must hold the lock of the account's row. */
export async function setPassword(tx: Transaction, userId: string, passwordHash: string, nowMs: number): Promise<void> {
  await tx`
    UPDATE accounts SET password_hash = ${passwordHash}, update_time = ${new Date(nowMs)} WHERE user_id = ${userId}`;
  await endChallenges(tx, userId);
  await endMailTokens(tx, "RESET_PASSWORD", userId);
}

/**
 * Adds an account with its key, its role and UserCreated; `undefined` when the address has one. Leaves the account's row
 * locked by `tx`.
 */
export async function insertAccount(
  tx: Transaction,
  deps: Pick<AccountDeps, "personKeys" | "publish" | "clock" | "random">,
  account: {
    readonly email: string;
    readonly passwordHash: string;
    readonly displayName: string;
    readonly role: Role;
  },
): Promise<string | undefined> {
  const { email, passwordHash, displayName, role } = account;
  const userId = deps.random.uuid();
  const nowMs = deps.clock.now();
  const now = new Date(nowMs);
  const inserted = await tx`
    INSERT INTO accounts
      (user_id, email, display_name, password_hash, sign_up_roles, version, create_time, update_time)
    VALUES (${userId}, ${email}, ${displayName}, ${passwordHash}, ${[role]}::text[], 1, ${now}, ${now})
    ON CONFLICT (email) DO NOTHING RETURNING user_id`;
  if (inserted.length === 0) return undefined;
  await tx`INSERT INTO role_assignments (user_id, role, create_time) VALUES (${userId}, ${role}, ${now})`;
  const person = await deps.personKeys.create(tx, userId);
  const created = { email, displayName, roles: [role], version: 1n, createTimeMs: nowMs };
  await publishUserCreated(tx, deps.publish, deps.random, person, created);
  return userId;
}

async function findAccount(
  database: Database,
  email: string,
): Promise<{ readonly userId: string; readonly passwordHash: string } | undefined> {
  const [row] = await database.sql<{ user_id: string; password_hash: string }[]>`
    SELECT user_id, password_hash FROM accounts WHERE email = ${email}`;
  return row && { userId: row.user_id, passwordHash: row.password_hash };
}

/** Locks the account's row and reads what it is now; `undefined` when it is gone. */
export async function lockAccount(
  tx: Transaction,
  userId: string,
): Promise<{ readonly passwordHash: string; readonly isSuspended: boolean } | undefined> {
  const [row] = await tx<{ password_hash: string; status: string }[]>`
    SELECT password_hash, status FROM accounts WHERE user_id = ${userId} FOR UPDATE`;
  return row && { passwordHash: row.password_hash, isSuspended: row.status === "SUSPENDED" };
}

/** Names an address that may have no account, without writing it down. */
export function emailSubject(vault: Vault, email: string): string {
  return `email:${Buffer.from(vault.mac("audit-email", email)).toString("hex", 0, 16)}`;
}
