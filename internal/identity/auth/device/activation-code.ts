import type { Random } from "../../../platform/clock/random.ts";
import type { Vault } from "../secret/vault.ts";

/** Crockford's base 32: no I, L, O, which look like digits, and no U. */
const alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const codeChars = 12;
const codePattern = new RegExp(`^[${alphabet}]{${codeChars}}$`);
const groupChars = 4;

/** Makes an activation code of 60 random bits, to be typed by a person: "XXXX-XXXX-XXXX". */
export function makeActivationCode(random: Random): string {
  // 256 is a multiple of 32: each character is as likely as any other.
  const chars = [...random.bytes(codeChars)].map((byte) => alphabet[byte % alphabet.length]).join("");
  return chars.match(new RegExp(`.{${groupChars}}`, "g"))!.join("-");
}

/** The one form of a code, however it was typed; `undefined` for what can be none. */
export function normaliseActivationCode(typed: string): string | undefined {
  const code = typed.toUpperCase().replaceAll(/[\s-]/g, "").replaceAll("O", "0").replaceAll(/[IL]/g, "1");
  return codePattern.test(code) ? code : undefined;
}

/** What of a code is stored and compared; of what can be no code, that of no code. 32 bytes. */
export function hashOfCode(vault: Vault, typed: string): Uint8Array {
  return vault.mac("activation-code", normaliseActivationCode(typed) ?? "");
}
