import type { Clock } from "../../../platform/clock/clock.ts";
import type { Database, Sql, Transaction } from "../../../platform/postgres/database.ts";
import type { Refusal } from "../../../platform/errors/refusal.ts";
import { refuse } from "../errors.ts";
import type { Vault } from "../secret/vault.ts";
import { chargeFailure, chargeOwnTry, familiarMs, lockoutPolicies, type FailureCount } from "./policy.ts";
import type { LockoutStore } from "./store.ts";

/** Networks remembered for a person; the longest unused is forgotten first. */
const familiarMax = 32;

type PolicyKind = keyof typeof lockoutPolicies;

/** What failures are counted for; "own" are the tries of a person on a familiar network. */
type FailureKind = PolicyKind | "own";

interface ChargedCount {
  readonly kind: FailureKind;
  readonly hash: Uint8Array;
  readonly count: FailureCount;
}

/** An attempt that was counted as failed; `forgive` takes it back when it succeeded. */
export interface Charge {
  readonly charged: readonly ChargedCount[];
  /** True when this attempt, should it fail, begins a lock. */
  readonly locks: boolean;
}

/** Who attempts. */
export interface Attempt {
  /** Normalised; empty for an attempt that is aimed at no account. */
  readonly email: string;
  /** As `networkOf` gives it; empty for a call inside the process. */
  readonly network: string;
}

/** Counts failed attempts and locks out who makes too many. */
export interface Lockout {
  /**
   * Counts an attempt as failed, in a transaction of its own; while a lock holds it counts nothing. The same for addresses that have
   * no account. From a familiar network it is one of the person's own tries first, which no lock refuses.
   */
  charge(attempt: Attempt): Promise<Charge | Refusal<"signInLocked">>;
  /**
   * Takes a charge back after success. After "whole" success the account's failures from this network are forgotten; of the network and
   * of the account over all networks just this one, so that who owns one account cannot clear the way to others. After success in
   * a "step", with a code still to come, nothing but this one is: who knows the password does not get codes to guess without end.
   */
  forgive(tx: Transaction, charge: Charge, success: "whole" | "step"): Promise<void>;
  /** Whether the person with this address signed in from this network lately. */
  isFamiliar(attempt: Attempt): Promise<boolean>;
  /** Remembers the network from which a person has signed in. */
  rememberNetwork(tx: Transaction, userId: string, network: string): Promise<void>;
}

/** Rolls back the rows that were made to be locked: who is locked out must not fill the table by inventing addresses. */
class LockedError extends Error {
  override readonly name = "LockedError";
  readonly retryAfterMs: number;

  constructor(retryAfterMs: number) {
    super("a lock holds");
    this.retryAfterMs = retryAfterMs;
  }
}

/** Lockout over the counts of a database, which all processes share. */
export function createLockout(deps: {
  readonly database: Database;
  readonly store: LockoutStore;
  readonly vault: Vault;
  readonly clock: Clock;
}): Lockout {
  const { database, store, vault, clock } = deps;

  const hashOf = (kind: FailureKind, subject: string): Uint8Array => vault.mac("failures", `${kind} ${subject}`);

  /** What an attempt is counted for when the person has no try of their own left. */
  const subjectsOf = ({ email, network }: Attempt, isAtHome: boolean) => {
    const subjects: [PolicyKind, string][] = [];
    if (email !== "" && network !== "") subjects.push(["pair", `${network} ${email}`]);
    if (network !== "") subjects.push(["network", network]);
    if (email !== "" && !isAtHome) subjects.push(["account", email]);
    return subjects
      .map(([kind, subject]) => ({ kind, hash: hashOf(kind, subject) }))
      .toSorted((a, b) => Buffer.compare(a.hash, b.hash)); // All take the rows' locks in one order.
  };

  const isFamiliar = async (on: Sql, { email, network }: Attempt): Promise<boolean> => {
    if (email === "" || network === "") return false;
    return store.isFamiliar(on, email, vault.mac("network", network), clock.now() - familiarMs);
  };

  const chargeOwn = async (tx: Transaction, { email, network }: Attempt): Promise<Charge | undefined> => {
    const hash = hashOf("own", `${network} ${email}`);
    const count = chargeOwnTry(await store.lock(tx, hash), clock.now());
    if (count === undefined) return undefined;
    await store.write(tx, hash, count);
    return { charged: [{ kind: "own", hash, count }], locks: false };
  };

  const chargeAll = async (tx: Transaction, attempt: Attempt, isAtHome: boolean): Promise<Charge> => {
    const charged: ChargedCount[] = [];
    for (const { kind, hash } of subjectsOf(attempt, isAtHome)) {
      const count = chargeFailure(await store.lock(tx, hash), lockoutPolicies[kind], clock.now());
      if ("retryAfterMs" in count) throw new LockedError(count.retryAfterMs);
      charged.push({ kind, hash, count });
    }
    for (const { hash, count } of charged) await store.write(tx, hash, count);
    return { charged, locks: charged.some(({ count }) => count.lockEndMs > 0) };
  };

  return {
    charge: async (attempt) => {
      try {
        return await database.transaction(async (tx) => {
          const isAtHome = await isFamiliar(tx, attempt);
          const own = isAtHome ? await chargeOwn(tx, attempt) : undefined;
          return own ?? (await chargeAll(tx, attempt, isAtHome));
        });
      } catch (error) {
        if (error instanceof LockedError) return refuse("signInLocked", { retryAfterMs: error.retryAfterMs });
        throw error;
      }
    },

    forgive: async (tx, charge, success) => {
      for (const { kind, hash, count } of charge.charged) {
        if (success === "whole" && (kind === "pair" || kind === "own")) await store.forget(tx, hash);
        else await store.takeBack(tx, hash, count.lockEndMs);
      }
    },

    isFamiliar: (attempt) => isFamiliar(database.sql, attempt),

    rememberNetwork: async (tx, userId, network) => {
      if (network === "") return;
      const networkHash = vault.mac("network", network);
      await store.rememberNetwork(tx, { userId, networkHash, nowMs: clock.now() }, familiarMax);
    },
  };
}
