import type { Clock } from "../../../platform/clock/clock.ts";
import type { Database, Transaction } from "../../../platform/postgres/database.ts";
import type { ClientInfo } from "../audit/client.ts";
import type { Action, AuditStore } from "../audit/store.ts";
import { isRefusal, type Refusal } from "../../../platform/errors/refusal.ts";
import { refuse } from "../errors.ts";
import type { SecondFactors } from "../factor/second-factor.ts";
import { networkOf } from "../../../platform/identity/network.ts";
import type { Charge, Lockout } from "../lockout/rules.ts";
import type { PasswordHasher, PasswordQueue } from "./password.ts";
import type { Account, AccountStore } from "./store.ts";

/** A signed-in person, who shows that they know their password. */
export interface PasswordProof {
  readonly userId: string;
  readonly password: string;
}

/** What is done once the password has proved right. */
export interface ProvenAct<P, T> {
  readonly action: Action;
  /** Hashes what `effect` needs, in the slot of the queue in which the password was verified. */
  prepare(hasher: PasswordHasher): Promise<P>;
  /** In a transaction that holds the lock of the account's row. A refusal must have changed nothing. */
  effect(tx: Transaction, prepared: P, account: Account): Promise<T>;
}

/** Why an act that asks for the password is not done. */
export type ProofRefusal = Refusal<"credentialsInvalid" | "passwordInvalid" | "signInLocked">;

/** Runs acts of signed-in people that ask for their password. */
export interface PasswordProofs {
  /**
   * Does what is to be done if the password is right, and records it. Counted as sign-ins are: a stolen access token gives no free
   * guesses.
   */
  run<P, T>(
    proof: PasswordProof,
    act: ProvenAct<P, T>,
    client: ClientInfo,
    signal: AbortSignal,
  ): Promise<T | ProofRefusal>;
  /** Records that an act was refused for what it was given, which is a guess; other refusals are not recorded. */
  recordGuess(refusal: Refusal, action: Action, userId: string, client: ClientInfo, charged: Charge): Promise<void>;
}

/** Proofs against the passwords of a database. */
export function createPasswordProofs(deps: {
  readonly database: Database;
  readonly accounts: Pick<AccountStore, "find" | "lock">;
  readonly audit: Pick<AuditStore, "append">;
  readonly passwords: PasswordQueue;
  readonly secondFactors: Pick<SecondFactors, "isInForce">;
  readonly lockout: Lockout;
  readonly clock: Clock;
}): PasswordProofs {
  const { database, accounts, audit, passwords, secondFactors, lockout, clock } = deps;

  const recordGuess: PasswordProofs["recordGuess"] = async (refusal, action, userId, client, charged) => {
    if (refusal.error.code !== "permission_denied") return;
    const act = { action, outcome: "REFUSED", client, subject: `person:${userId}` } as const;
    await audit.append(database.sql, { ...act, detail: charged.locks ? "LOCK_BEGINS" : "" }, clock.now());
  };

  return {
    run: async ({ userId, password }, act, client, signal) => {
      const network = networkOf(client.address);
      const tried = await passwords.run({ rank: "known", network }, signal, async (hasher) => {
        const account = await accounts.find(database.sql, userId);
        if (account === undefined) return refuse("credentialsInvalid");
        const charged = await lockout.charge({ email: account.email, network });
        if (isRefusal(charged)) return charged;
        const { passwordHash } = account;
        const isRight = await hasher.verify(password, passwordHash);
        return { charged, passwordHash, proven: isRight ? { prepared: await act.prepare(hasher) } : undefined };
      });
      if (isRefusal(tried)) return tried;
      const { charged, passwordHash, proven } = tried;
      const outcome =
        proven === undefined
          ? refuse("passwordInvalid")
          : await database.transaction(async (tx) => {
              const account = await accounts.lock(tx, userId);
              // A password that was changed meanwhile proves nothing.
              if (account?.passwordHash !== passwordHash) return refuse("passwordInvalid");
              const result = await act.effect(tx, proven.prepared, account);
              if (isRefusal(result)) return result;
              await lockout.forgive(tx, charged, (await secondFactors.isInForce(tx, userId)) ? "step" : "whole");
              const done = { action: act.action, outcome: "DONE", client, subject: `person:${userId}` } as const;
              await audit.append(tx, done, clock.now());
              return result;
            });
      if (isRefusal(outcome)) await recordGuess(outcome, act.action, userId, client, charged);
      return outcome;
    },
    recordGuess,
  };
}
