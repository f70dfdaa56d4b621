import type { Clock } from "../../../platform/clock/clock.ts";
import type { Random } from "../../../platform/clock/random.ts";
import type { Transaction } from "../../../platform/postgres/database.ts";
import type { Refusal } from "../../../platform/errors/refusal.ts";
import { refuse } from "../errors.ts";
import type { Vault } from "../secret/vault.ts";
import { hashOfRecoveryCode, makeRecoveryCodes } from "./recovery-code.ts";
import type { FactorStore, TotpFactor } from "./store.ts";
import { matchTotp, totpSecretBytes } from "./totp.ts";

/** A secret that no app has shown to have is forgotten after this. */
const pendingMs = 15 * 60_000;

/** Second factors of accounts. Every method needs the lock of the account's row in `tx`; a refusal has changed nothing. */
export interface SecondFactors {
  /** Whether sign-in asks for a code. */
  isInForce(tx: Transaction, userId: string): Promise<boolean>;
  /** Makes a secret that is not in force yet. Refused while one is. */
  begin(tx: Transaction, userId: string): Promise<{ readonly secret: Uint8Array } | Refusal<"secondFactorSet">>;
  /**
   * Puts the secret into force and returns the recovery codes. Refused while a factor is in force, unless one was begun in the last 15
   * minutes, and for a wrong code.
   */
  confirm(
    tx: Transaction,
    userId: string,
    code: string,
  ): Promise<readonly string[] | Refusal<"secondFactorSet" | "noSecondFactor" | "factorCodeInvalid">>;
  /** Uses up a code of the app or a recovery code: which it was, `undefined` for neither. */
  use(tx: Transaction, userId: string, code: string): Promise<"TOTP" | "RECOVERY_CODE" | undefined>;
  /** Removes the factor, given a code of the app or a recovery code. */
  disable(
    tx: Transaction,
    userId: string,
    code: string,
  ): Promise<Refusal<"noSecondFactor" | "factorCodeInvalid"> | undefined>;
  /** Removes the factor without a code. Refused when none is in force. */
  reset(tx: Transaction, userId: string): Promise<Refusal<"noSecondFactor"> | undefined>;
}

/** Second factors whose secrets `vault` keeps. */
export function createSecondFactors(deps: {
  readonly store: FactorStore;
  readonly vault: Vault;
  readonly clock: Clock;
  readonly random: Random;
}): SecondFactors {
  const { store, vault, clock, random } = deps;

  /** The step whose code this is; `undefined` for a wrong or used one. */
  const stepOf = (userId: string, factor: TotpFactor, code: string): number | undefined => {
    const secret = vault.open("totp-secret", userId, factor.secretSealed);
    return matchTotp(secret, code.replaceAll(/\s/g, ""), clock.now(), factor.usedStep);
  };

  const use: SecondFactors["use"] = async (tx, userId, code) => {
    const factor = await store.find(tx, userId);
    if (factor?.isConfirmed !== true) return undefined;
    const step = stepOf(userId, factor, code);
    if (step !== undefined) {
      await store.markUsed(tx, userId, step);
      return "TOTP";
    }
    const isSpent = await store.spendRecoveryCode(tx, userId, hashOfRecoveryCode(vault, userId, code));
    return isSpent ? "RECOVERY_CODE" : undefined;
  };

  return {
    isInForce: async (tx, userId) => (await store.find(tx, userId))?.isConfirmed === true,

    begin: async (tx, userId) => {
      if ((await store.find(tx, userId))?.isConfirmed === true) return refuse("secondFactorSet");
      const secret = random.bytes(totpSecretBytes);
      await store.begin(tx, userId, vault.seal("totp-secret", userId, secret), clock.now());
      return { secret };
    },

    confirm: async (tx, userId, code) => {
      const factor = await store.find(tx, userId);
      if (factor?.isConfirmed === true) return refuse("secondFactorSet");
      const nowMs = clock.now();
      if (factor === undefined || nowMs - factor.createTimeMs > pendingMs) return refuse("noSecondFactor");
      const usedStep = stepOf(userId, factor, code);
      if (usedStep === undefined) return refuse("factorCodeInvalid");
      const codes = makeRecoveryCodes(random);
      const recoveryHashes = codes.map((recoveryCode) => hashOfRecoveryCode(vault, userId, recoveryCode));
      await store.confirm(tx, userId, { usedStep, recoveryHashes }, nowMs);
      return codes;
    },

    use,

    disable: async (tx, userId, code) => {
      if ((await store.find(tx, userId))?.isConfirmed !== true) return refuse("noSecondFactor");
      if ((await use(tx, userId, code)) === undefined) return refuse("factorCodeInvalid");
      await store.remove(tx, userId);
      return undefined;
    },

    reset: async (tx, userId) => {
      if ((await store.find(tx, userId))?.isConfirmed !== true) return refuse("noSecondFactor");
      await store.remove(tx, userId);
      return undefined;
    },
  };
}
