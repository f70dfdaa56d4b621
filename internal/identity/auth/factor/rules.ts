import type { Clock } from "../../../platform/clock/clock.ts";
import type { Random } from "../../../platform/clock/random.ts";
import type { Transaction } from "../../../platform/postgres/database.ts";
import { badCode, noSecondFactor, secondFactorSet } from "../errors.ts";
import { base32, matchTotp, totpSecretBytes } from "./totp.ts";
import type { Vault } from "../secret/vault.ts";

/** A secret that no app has shown to have is forgotten after this. */
const pendingMs = 15 * 60_000;
/** Recovery codes of a factor. Each has ten characters of base32, 50 bits. */
const recoveryCodesMax = 10;
const recoveryCodeChars = 10;
const recoveryCodeBytes = 7;

/** Second factors. Every method needs the lock of the account's row in `tx`. */
export interface SecondFactors {
  /** Whether sign-in asks for a code. */
  isInForce(tx: Transaction, userId: string): Promise<boolean>;
  /** Makes a secret that is not in force yet. FAILED_PRECONDITION while one is. */
  begin(tx: Transaction, userId: string): Promise<Uint8Array>;
  /** Puts the secret into force and returns the recovery codes. PERMISSION_DENIED for a wrong code. */
  confirm(tx: Transaction, userId: string, code: string): Promise<readonly string[]>;
  /** Uses up a code of the app or a recovery code: which it was, `undefined` for neither. */
  use(tx: Transaction, userId: string, code: string): Promise<"TOTP" | "RECOVERY_CODE" | undefined>;
  /** Removes the factor, given a code. FAILED_PRECONDITION when there is none, PERMISSION_DENIED for a wrong code. */
  disable(tx: Transaction, userId: string, code: string): Promise<void>;
  /** Removes the factor without a code. FAILED_PRECONDITION when there is none. */
  reset(tx: Transaction, userId: string): Promise<void>;
}

/** Makes the rules. */
export function createSecondFactors(deps: {
  readonly vault: Vault;
  readonly clock: Clock;
  readonly random: Random;
}): SecondFactors {
  const { vault, clock, random } = deps;
  const hashOf = (userId: string, recoveryCode: string): Uint8Array =>
    vault.mac("recovery-code", `${userId} ${recoveryCode}`);

  const find = async (tx: Transaction, userId: string): Promise<Factor | undefined> => {
    const [row] = await tx<
      { secret_sealed: Uint8Array; create_time: Date; confirm_time: Date | null; used_step: string }[]
    >`SELECT secret_sealed, create_time, confirm_time, used_step FROM totp_factors WHERE user_id = ${userId}`;
    return (
      row && {
        secret: vault.open("totp-secret", userId, row.secret_sealed),
        createTimeMs: row.create_time.getTime(),
        isConfirmed: row.confirm_time !== null,
        usedStep: Number(row.used_step),
      }
    );
  };

  const use: SecondFactors["use"] = async (tx, userId, code) => {
    const factor = await find(tx, userId);
    if (factor?.isConfirmed !== true) return undefined;
    const step = matchTotp(factor.secret, code.replaceAll(/\s/g, ""), clock.now(), factor.usedStep);
    if (step !== undefined) {
      await tx`UPDATE totp_factors SET used_step = ${step} WHERE user_id = ${userId}`;
      return "TOTP";
    }
    const spent = await tx`
      DELETE FROM recovery_codes
      WHERE user_id = ${userId} AND code_hash = ${hashOf(userId, normaliseRecoveryCode(code))} RETURNING user_id`;
    return spent.length > 0 ? "RECOVERY_CODE" : undefined;
  };

  const reset: SecondFactors["reset"] = async (tx, userId) => {
    if ((await find(tx, userId))?.isConfirmed !== true) throw noSecondFactor();
    await tx`DELETE FROM totp_factors WHERE user_id = ${userId}`;
  };

  return {
    isInForce: async (tx, userId) => (await find(tx, userId))?.isConfirmed === true,
    begin: async (tx, userId) => {
      if ((await find(tx, userId))?.isConfirmed === true) throw secondFactorSet();
      const secret = random.bytes(totpSecretBytes);
      await tx`
        INSERT INTO totp_factors (user_id, secret_sealed, create_time, used_step)
        VALUES (${userId}, ${vault.seal("totp-secret", userId, secret)}, ${new Date(clock.now())}, 0)
        ON CONFLICT (user_id) DO UPDATE SET secret_sealed = excluded.secret_sealed, create_time = excluded.create_time`;
      return secret;
    },
    confirm: async (tx, userId, code) => {
      const factor = await find(tx, userId);
      if (factor?.isConfirmed === true) throw secondFactorSet();
      const nowMs = clock.now();
      if (factor === undefined || nowMs - factor.createTimeMs > pendingMs) throw noSecondFactor();
      const step = matchTotp(factor.secret, code.replaceAll(/\s/g, ""), nowMs, factor.usedStep);
      if (step === undefined) throw badCode("permission_denied");
      await tx`
        UPDATE totp_factors SET confirm_time = ${new Date(nowMs)}, used_step = ${step} WHERE user_id = ${userId}`;
      const codes = Array.from({ length: recoveryCodesMax }, () =>
        base32(random.bytes(recoveryCodeBytes)).slice(0, recoveryCodeChars).toLowerCase(),
      );
      for (const recoveryCode of codes) {
        await tx`INSERT INTO recovery_codes (user_id, code_hash) VALUES (${userId}, ${hashOf(userId, recoveryCode)})`;
      }
      return codes.map((recoveryCode) => `${recoveryCode.slice(0, 5)}-${recoveryCode.slice(5)}`);
    },
    use,
    disable: async (tx, userId, code) => {
      if ((await find(tx, userId))?.isConfirmed !== true) throw noSecondFactor();
      if ((await use(tx, userId, code)) === undefined) throw badCode("permission_denied");
      await reset(tx, userId);
    },
    reset,
  };
}

interface Factor {
  readonly secret: Uint8Array;
  readonly createTimeMs: number;
  readonly isConfirmed: boolean;
  readonly usedStep: number;
}

/** As people copy it: with or without the dash, in upper or lower case. */
function normaliseRecoveryCode(code: string): string {
  return code.replaceAll(/[\s-]/g, "").toLowerCase();
}
