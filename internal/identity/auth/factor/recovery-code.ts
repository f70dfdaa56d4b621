import type { Random } from "../../../platform/clock/random.ts";
import type { Vault } from "../secret/vault.ts";
import { base32 } from "./totp.ts";

/** Recovery codes of a factor. Each has ten characters of base32, 50 bits. */
const recoveryCodesMax = 10;
const recoveryCodeChars = 10;
const recoveryCodeBytes = 7;

/** Makes the recovery codes of a factor, as people read them: "abcde-fghij". */
export function makeRecoveryCodes(random: Random): readonly string[] {
  return Array.from({ length: recoveryCodesMax }, () => {
    const code = base32(random.bytes(recoveryCodeBytes)).slice(0, recoveryCodeChars).toLowerCase();
    return `${code.slice(0, 5)}-${code.slice(5)}`;
  });
}

/** What of a code is kept and compared, however it was copied: with or without the dash, in upper or lower case. 32 bytes. */
export function hashOfRecoveryCode(vault: Vault, userId: string, code: string): Uint8Array {
  return vault.mac("recovery-code", `${userId} ${code.replaceAll(/[\s-]/g, "").toLowerCase()}`);
}
