import type { Clock } from "../../platform/clock/clock.ts";
import type { Random } from "../../platform/clock/random.ts";
import type { Database, Transaction } from "../../platform/postgres/database.ts";
import { recordAct, type Action } from "./audit-log.ts";
import { networkOf, type ClientInfo } from "./client.ts";
import { normaliseEmail } from "./email.ts";
import { accountSuspended, badCredentials, emailTaken, invalidEmail, wrongPassword } from "./errors.ts";
import { publishUserCreated, type AuthPublish } from "./events.ts";
import { chargeAttempt, forgiveAttempt, rememberNetwork, type Attempt, type Charge } from "./lockout.ts";
import type { PasswordQueue } from "./password.ts";
import type { PersonKeys } from "./person-key.ts";
import type { Role } from "./role.ts";
import type { Sessions, Tokens } from "./session.ts";
import type { Vault } from "./vault.ts";

/** What an account begins with. */
export interface NewAccount {
  readonly email: string;
  readonly password: string;
  readonly displayName: string;
}

/** The rules of accounts. */
export interface Accounts {
  /** Creates an account and its first session. */
  signUp(account: NewAccount, client: ClientInfo, signal: AbortSignal): Promise<{ userId: string; tokens: Tokens }>;
  /** Begins a session. */
  signIn(
    credentials: { readonly email: string; readonly password: string },
    client: ClientInfo,
    signal: AbortSignal,
  ): Promise<{ userId: string; tokens: Tokens }>;
  /** Changes a person's password and ends all their sessions but the one that asks. */
  changePassword(
    person: { readonly userId: string; readonly sessionId: string },
    passwords: { readonly current: string; readonly next: string },
    client: ClientInfo,
    signal: AbortSignal,
  ): Promise<void>;
}

/** What the rules use. */
export interface AccountDeps {
  readonly database: Database;
  readonly publish: AuthPublish;
  readonly vault: Vault;
  readonly passwords: PasswordQueue;
  readonly sessions: Sessions;
  readonly personKeys: PersonKeys;
  readonly clock: Clock;
  readonly random: Random;
}

/** Makes the rules. */
export function createAccounts(deps: AccountDeps): Accounts {
  const { database, vault, passwords, sessions, clock } = deps;

  const charge = (attempt: Attempt): Promise<Charge> =>
    database.transaction((tx) => chargeAttempt(tx, vault, attempt, clock.now()));
  const refused = (action: Action, subject: string, client: ClientInfo, charged: Charge): Promise<void> =>
    recordAct(
      database.sql,
      { action, outcome: "REFUSED", client, subject, detail: charged.locks ? "LOCK_BEGINS" : "" },
      clock.now(),
    );

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
        await forgiveAttempt(tx, charged);
        await rememberNetwork(tx, vault, userId, networkOf(client.address), clock.now());
        const subject = `person:${userId}`;
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
      const signedIn =
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
              const opened = await sessions.open(tx, userId, client);
              await forgiveAttempt(tx, charged);
              await rememberNetwork(tx, vault, userId, network, clock.now());
              await recordAct(
                tx,
                {
                  action: "SIGN_IN",
                  outcome: "DONE",
                  client,
                  principal: `person:${userId}`,
                  subject: `session:${opened.sessionId}`,
                },
                clock.now(),
              );
              return { userId, opened };
            })
          : undefined;
      if (signedIn === undefined || signedIn === "suspended") {
        await refused("SIGN_IN", emailSubject(vault, email), client, charged);
        throw signedIn === undefined ? badCredentials() : accountSuspended();
      }
      const { userId, opened } = signedIn;
      return { userId, tokens: await sessions.handOut(userId, opened) };
    },

    changePassword: async ({ userId, sessionId }, { current, next }, client, signal) => {
      const subject = `person:${userId}`;
      const { charged, oldHash, newHash } = await passwords.run(signal, async (hasher) => {
        const [row] = await database.sql<{ email: string; password_hash: string }[]>`
          SELECT email, password_hash FROM accounts WHERE user_id = ${userId}`;
        if (row === undefined) throw badCredentials();
        // Counted as sign-ins are: a stolen access token gives no free guesses.
        const charged = await charge({ email: row.email, network: networkOf(client.address) });
        const matches = await hasher.verify(current, row.password_hash);
        return { charged, oldHash: row.password_hash, newHash: matches ? await hasher.hash(next) : undefined };
      });
      const changed =
        newHash !== undefined &&
        (await database.transaction(async (tx) => {
          if ((await lockAccount(tx, userId))?.passwordHash !== oldHash) return false;
          const nowMs = clock.now();
          await tx`
            UPDATE accounts SET password_hash = ${newHash}, update_time = ${new Date(nowMs)} WHERE user_id = ${userId}`;
          await sessions.endAll(tx, userId, sessionId);
          await forgiveAttempt(tx, charged);
          await recordAct(tx, { action: "CHANGE_PASSWORD", outcome: "DONE", client, subject }, nowMs);
          return true;
        }));
      if (!changed) {
        await refused("CHANGE_PASSWORD", subject, client, charged);
        throw wrongPassword();
      }
    },
  };
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
async function lockAccount(
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
