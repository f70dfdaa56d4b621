import type { Sql, Transaction } from "../../../platform/postgres/database.ts";

/** A second factor (TOTP, RFC 6238). */
export interface TotpFactor {
  /** Encrypted. */
  readonly secretSealed: Uint8Array;
  readonly createTimeMs: number;
  /** Whether it is in force: an app has shown to have the secret. */
  readonly isConfirmed: boolean;
  /** Codes of this step and earlier ones are used up. */
  readonly usedStep: number;
}

/** Second factors, recovery codes and the challenges of sign-ins that await a code. Codes and challenges are hashes of 32 bytes. */
export interface FactorStore {
  /** The person's factor, in force or not. */
  find(on: Sql, userId: string): Promise<TotpFactor | undefined>;
  /** Adds a factor that is not in force, or puts it in the place of another that is not. */
  begin(tx: Transaction, userId: string, secretSealed: Uint8Array, nowMs: number): Promise<void>;
  /** Puts the factor into force, its codes up to `usedStep` used up, with these recovery codes. */
  confirm(
    tx: Transaction,
    userId: string,
    confirmed: { readonly usedStep: number; readonly recoveryHashes: readonly Uint8Array[] },
    nowMs: number,
  ): Promise<void>;
  /** Uses up the codes of a step and earlier ones. */
  markUsed(tx: Transaction, userId: string, usedStep: number): Promise<void>;
  /** Uses up a recovery code; false when the person has none of this hash. */
  spendRecoveryCode(tx: Transaction, userId: string, codeHash: Uint8Array): Promise<boolean>;
  /** Recovery codes that are left. */
  countRecoveryCodes(on: Sql, userId: string): Promise<number>;
  /** Removes the factor with its recovery codes. */
  remove(tx: Transaction, userId: string): Promise<void>;

  /** Adds a challenge; of the person's others the longest lasting stay, at most `keptMax` with the new one. */
  addChallenge(
    tx: Transaction,
    challenge: { readonly userId: string; readonly challengeHash: Uint8Array; readonly expireTimeMs: number },
    keptMax: number,
  ): Promise<void>;
  /** Whose challenge it is; `undefined` for one that never was, has ended or was used. */
  findChallenge(
    on: Sql,
    challengeHash: Uint8Array,
    nowMs: number,
  ): Promise<{ readonly userId: string; readonly email: string } | undefined>;
  /** Uses a challenge up; false when that happened before. Of two transactions one gets true. */
  takeChallenge(tx: Transaction, challengeHash: Uint8Array): Promise<boolean>;
  /** Ends all challenges of a person. */
  endChallenges(tx: Transaction, userId: string): Promise<void>;
  /** Removes at most `rowsMax` challenges that ended before `beforeMs`. */
  prune(tx: Transaction, beforeMs: number, rowsMax: number): Promise<void>;
}
