import type { Clock } from "../../../platform/clock/clock.ts";
import type { Transaction } from "../../../platform/postgres/database.ts";
import type { Refusal } from "../../../platform/errors/refusal.ts";
import type { ClientInfo } from "../audit/client.ts";
import type { FactorStore } from "../factor/store.ts";
import type { MailStore } from "../mail/store.ts";
import type { Sessions, Tokens } from "../session/rules.ts";
import { refuseNewPassword } from "./password.ts";
import type { PasswordProof, PasswordProofs, ProofRefusal } from "./proof.ts";
import type { AccountStore } from "./store.ts";

/** A session that has begun. */
export interface SignedIn {
  readonly userId: string;
  readonly tokens: Tokens;
}

/** The rules of accounts. */
export interface Accounts {
  /** Changes a person's password and ends all their sessions but the one that asks. */
  changePassword(
    proof: PasswordProof & { readonly sessionId: string },
    next: string,
    client: ClientInfo,
    signal: AbortSignal,
  ): Promise<ProofRefusal | Refusal<"fieldInvalid"> | undefined>;
}

/** The accounts of a database. */
export function createAccounts(deps: {
  readonly accounts: Pick<AccountStore, "setPasswordHash">;
  readonly factors: Pick<FactorStore, "endChallenges">;
  readonly mailStore: Pick<MailStore, "endTokens">;
  readonly proofs: PasswordProofs;
  readonly sessions: Pick<Sessions, "endAll">;
  readonly clock: Clock;
}): Accounts {
  const { proofs, sessions, clock } = deps;
  return {
    changePassword: async (proof, next, client, signal) =>
      refuseNewPassword("new_password", next) ??
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
