import type { Clock } from "../../../platform/clock/clock.ts";
import { isUuid } from "../../../platform/clock/random.ts";
import type { Database } from "../../../platform/postgres/database.ts";
import type { PasswordProof, PasswordProofs, ProofRefusal } from "../account/proof.ts";
import type { AccountStore } from "../account/store.ts";
import type { ClientInfo } from "../audit/client.ts";
import type { AuditStore } from "../audit/store.ts";
import { isRefusal, type Refusal } from "../../../platform/errors/refusal.ts";
import { refuse } from "../errors.ts";
import type { Caller } from "../../../platform/identity/caller.ts";
import { refusalToActOn } from "../../../platform/resource/caller-scopes.ts";
import { scopesOfPerson } from "../scope/rules.ts";
import type { ScopeStore } from "../scope/store.ts";
import { networkOf } from "../../../platform/identity/network.ts";
import type { Lockout } from "../lockout/rules.ts";
import type { Sessions } from "../session/rules.ts";
import type { SecondFactors } from "./second-factor.ts";
import type { FactorStore } from "./store.ts";

/** What people do with their second factor, and who administers people with that of others. */
export interface Factors {
  /** Makes the secret of a second factor, which is not in force yet; with the person's address. */
  begin(
    proof: PasswordProof,
    client: ClientInfo,
    signal: AbortSignal,
  ): Promise<
    | { readonly secret: Uint8Array; readonly email: string }
    | ProofRefusal
    | Refusal<"emailNotVerified" | "secondFactorSet">
  >;
  /** Puts the second factor into force, given a code of it. Returns the recovery codes. */
  confirm(
    userId: string,
    code: string,
    client: ClientInfo,
  ): Promise<
    | readonly string[]
    | Refusal<
        | "credentialsInvalid"
        | "signInLocked"
        | "emailNotVerified"
        | "secondFactorSet"
        | "noSecondFactor"
        | "factorCodeInvalid"
      >
  >;
  /** Removes the second factor, given a code of it. */
  disable(
    proof: PasswordProof,
    code: string,
    client: ClientInfo,
    signal: AbortSignal,
  ): Promise<ProofRefusal | Refusal<"noSecondFactor" | "factorCodeInvalid"> | undefined>;
  /** Removes the second factor of a person who has lost it, and ends their sessions and what they began to sign in. */
  reset(
    userId: string,
    caller: Caller,
    client: ClientInfo,
  ): Promise<Refusal<"userNotFound" | "personHoldsMore" | "noSecondFactor"> | undefined>;
}

/** The second factors of a database's accounts. */
export function createFactors(deps: {
  readonly database: Database;
  readonly store: Pick<FactorStore, "endChallenges">;
  readonly accounts: Pick<AccountStore, "find" | "lock">;
  readonly scopes: Pick<ScopeStore, "find">;
  readonly audit: Pick<AuditStore, "append">;
  readonly secondFactors: SecondFactors;
  readonly proofs: PasswordProofs;
  readonly lockout: Lockout;
  readonly sessions: Pick<Sessions, "endAll">;
  readonly clock: Clock;
}): Factors {
  const { database, store, accounts, scopes, audit, secondFactors, proofs, lockout, sessions, clock } = deps;
  return {
    begin: (proof, client, signal) =>
      proofs.run(
        proof,
        {
          action: "BEGIN_TOTP",
          prepare: () => Promise.resolve(),
          effect: async (tx, _, { email, isEmailVerified }) => {
            if (!isEmailVerified) return refuse("emailNotVerified");
            const begun = await secondFactors.begin(tx, proof.userId);
            return isRefusal(begun) ? begun : { ...begun, email };
          },
        },
        client,
        signal,
      ),

    confirm: async (userId, code, client) => {
      const account = await accounts.find(database.sql, userId);
      if (account === undefined) return refuse("credentialsInvalid");
      const charged = await lockout.charge({ email: account.email, network: networkOf(client.address) });
      if (isRefusal(charged)) return charged;
      const outcome = await database.transaction(async (tx) => {
        const locked = await accounts.lock(tx, userId);
        if (locked?.isEmailVerified === false) return refuse("emailNotVerified");
        const codes = await secondFactors.confirm(tx, userId, code);
        if (isRefusal(codes)) return codes;
        await lockout.forgive(tx, charged, "step");
        const act = { action: "CONFIRM_TOTP", outcome: "DONE", client, subject: `person:${userId}` } as const;
        await audit.append(tx, act, clock.now());
        return codes;
      });
      if (isRefusal(outcome)) await proofs.recordGuess(outcome, "CONFIRM_TOTP", userId, client, charged);
      return outcome;
    },

    disable: (proof, code, client, signal) =>
      proofs.run(
        proof,
        {
          action: "DISABLE_TOTP",
          prepare: () => Promise.resolve(),
          effect: (tx) => secondFactors.disable(tx, proof.userId, code),
        },
        client,
        signal,
      ),

    reset: async (userId, caller, client) => {
      if (!isUuid(userId)) return refuse("userNotFound");
      return database.transaction(async (tx) => {
        if ((await accounts.lock(tx, userId)) === undefined) return refuse("userNotFound");
        const excess = refusalToActOn(caller, userId, (await scopesOfPerson(scopes, tx, userId)).scopes);
        if (excess !== undefined) return excess;
        const refusal = await secondFactors.reset(tx, userId);
        if (refusal !== undefined) return refusal;
        await store.endChallenges(tx, userId);
        await sessions.endAll(tx, userId);
        const act = { action: "RESET_TOTP", outcome: "DONE", client, subject: `person:${userId}` } as const;
        await audit.append(tx, act, clock.now());
        return undefined;
      });
    },
  };
}
