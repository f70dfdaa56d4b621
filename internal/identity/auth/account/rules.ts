import type { Database, Transaction } from "../../../platform/postgres/database.ts";
import type { ClientInfo } from "../audit/client.ts";
import type { AuditStore } from "../audit/store.ts";
import { isRefusal, type Refusal } from "../../../platform/errors/refusal.ts";
import { refuseField } from "../../../platform/resource/errors.ts";
import { refuse } from "../errors.ts";
import type { FactorStore } from "../factor/store.ts";
import { networkOf } from "../../../platform/identity/network.ts";
import type { Lockout } from "../lockout/rules.ts";
import type { OutgoingMails } from "../mail/rules.ts";
import type { MailStore } from "../mail/store.ts";
import type { Vault } from "../secret/vault.ts";
import type { Sessions, Tokens } from "../session/rules.ts";
import { createAccount, type CreateAccountDeps } from "./create.ts";
import { emailRule, emailSubject, normaliseEmail } from "./email.ts";
import type { PasswordQueue } from "./password.ts";
import type { PasswordProof, PasswordProofs, ProofRefusal } from "./proof.ts";
import type { AccountStore } from "./store.ts";

/** What a person gives to sign up. */
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

/** The rules of accounts. */
export interface Accounts {
  /** Creates an account and its first session. */
  signUp(
    account: NewAccount,
    client: ClientInfo,
    signal: AbortSignal,
  ): Promise<SignedIn | Refusal<"fieldInvalid" | "signInLocked" | "emailTaken">>;
  /** Changes a person's password and ends all their sessions but the one that asks. */
  changePassword(
    proof: PasswordProof & { readonly sessionId: string },
    next: string,
    client: ClientInfo,
    signal: AbortSignal,
  ): Promise<ProofRefusal | undefined>;
}

/** The accounts of a database. */
export function createAccounts(
  deps: CreateAccountDeps & {
    readonly database: Database;
    readonly accounts: AccountStore;
    readonly factors: Pick<FactorStore, "endChallenges">;
    readonly mailStore: Pick<MailStore, "endTokens">;
    readonly audit: Pick<AuditStore, "append">;
    readonly vault: Vault;
    readonly passwords: PasswordQueue;
    readonly proofs: PasswordProofs;
    readonly lockout: Lockout;
    readonly sessions: Pick<Sessions, "open" | "handOut" | "endAll">;
    readonly mails: Pick<OutgoingMails, "add">;
  },
): Accounts {
  const { database, audit, vault, passwords, proofs, lockout, sessions, mails, clock } = deps;
  return {
    signUp: async ({ email: written, password, displayName }, client, signal) => {
      const email = normaliseEmail(written);
      if (email === undefined) return refuseField("email", emailRule);
      const network = networkOf(client.address);
      // Hashed before it is known whether the address is free, so that both cost the same.
      const hashed = await passwords.run({ rank: "sign-up", network }, signal, async (hasher) => {
        const charged = await lockout.charge({ email: "", network });
        return isRefusal(charged) ? charged : { charged, passwordHash: await hasher.hash(password) };
      });
      if (isRefusal(hashed)) return hashed;
      const { charged, passwordHash } = hashed;
      const created = await database.transaction(async (tx) => {
        const userId = await createAccount(tx, deps, { email, passwordHash, displayName, role: "member" });
        if (userId === undefined) return undefined;
        const opened = await sessions.open(tx, userId, client);
        await lockout.forgive(tx, charged, "whole");
        await lockout.rememberNetwork(tx, userId, network);
        // Without room for one more mail there is an account all the same: its owner can ask for the mail later.
        await mails.add(tx, "VERIFY_EMAIL", email);
        const subject = `person:${userId}`;
        const act = { action: "SIGN_UP", outcome: "DONE", client, principal: subject, subject } as const;
        await audit.append(tx, act, clock.now());
        return { userId, opened };
      });
      if (created === undefined) {
        const act = { action: "SIGN_UP", outcome: "REFUSED", client, subject: emailSubject(vault, email) } as const;
        await audit.append(database.sql, { ...act, detail: charged.locks ? "LOCK_BEGINS" : "" }, clock.now());
        return refuse("emailTaken");
      }
      return { userId: created.userId, tokens: await sessions.handOut(created.userId, created.opened) };
    },

    changePassword: (proof, next, client, signal) =>
      proofs.run(
        proof,
        {
          action: "CHANGE_PASSWORD",
          prepare: (hasher) => hasher.hash(next),
          effect: async (tx, passwordHash) => {
            await setPassword(tx, deps, proof.userId, passwordHash, clock.now());
            await sessions.endAll(tx, proof.userId, proof.sessionId);
            return undefined;
          },
        },
        client,
        signal,
      ),
  };
}

/** Sets a password and ends what was begun with the former one, but sessions. `tx` must hold the lock of the account's row. */
export async function setPassword(
  tx: Transaction,
  stores: {
    readonly accounts: Pick<AccountStore, "setPasswordHash">;
    readonly factors: Pick<FactorStore, "endChallenges">;
    readonly mailStore: Pick<MailStore, "endTokens">;
  },
  userId: string,
  passwordHash: string,
  nowMs: number,
): Promise<void> {
  await stores.accounts.setPasswordHash(tx, userId, passwordHash, nowMs);
  await stores.factors.endChallenges(tx, userId);
  await stores.mailStore.endTokens(tx, "RESET_PASSWORD", userId);
}
