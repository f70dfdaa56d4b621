import { createCipheriv, createDecipheriv, createHmac, hkdfSync } from "node:crypto";
import type { Random } from "../../../platform/clock/random.ts";
import type { Secret } from "../../../platform/config/fields.ts";

const nonceBytes = 12;
const tagBytes = 16;
const keyBytes = 32;

/** What is kept encrypted. Each purpose has a key of its own. */
type SealPurpose = "signing-key" | "person-key" | "totp-secret";

/** What is authenticated or hashed with a key. Each purpose has a key of its own. */
type MacPurpose =
  | "refresh-token"
  | "failures"
  | "network"
  | "quota"
  | "audit-email"
  | "recovery-code"
  | "mail-token"
  | "activation-code";

/** Uses the keys derived from the key-encryption secret (HKDF-SHA256, RFC 5869). */
export interface Vault {
  /** Encrypts with AES-256-GCM: nonce, ciphertext, tag. `id` is bound in: a value moved to another row does not open. */
  seal(purpose: SealPurpose, id: string, plain: Uint8Array): Uint8Array<ArrayBuffer>;
  /** Decrypts what `seal` made for the same purpose and id; throws when it was made with another secret or altered. */
  open(purpose: SealPurpose, id: string, sealed: Uint8Array): Uint8Array<ArrayBuffer>;
  /** HMAC-SHA256, 32 bytes. */
  mac(purpose: MacPurpose, data: Uint8Array | string): Uint8Array<ArrayBuffer>;
}

/** Derives the keys on first use of each. */
export function createVault(secret: Secret, random: Random): Vault {
  const keys = new Map<string, Uint8Array>();
  const keyOf = (use: "seal" | "mac", purpose: SealPurpose | MacPurpose): Uint8Array => {
    const info = `muin auth ${use} ${purpose}`;
    let key = keys.get(info);
    if (key === undefined) {
      key = new Uint8Array(hkdfSync("sha256", secret.reveal(), "", info, keyBytes));
      keys.set(info, key);
    }
    return key;
  };
  return {
    seal: (purpose, id, plain) => encrypt(keyOf("seal", purpose), random.bytes(nonceBytes), id, plain),
    open: (purpose, id, sealed) => decrypt(keyOf("seal", purpose), id, sealed),
    mac: (purpose, data) => new Uint8Array(createHmac("sha256", keyOf("mac", purpose)).update(data).digest()),
  };
}

/** AES-256-GCM: nonce, ciphertext, tag. */
export function encrypt(
  key: Uint8Array,
  nonce: Uint8Array,
  additional: string,
  plain: Uint8Array,
): Uint8Array<ArrayBuffer> {
  const cipher = createCipheriv("aes-256-gcm", key, nonce).setAAD(Buffer.from(additional));
  return new Uint8Array(Buffer.concat([nonce, cipher.update(plain), cipher.final(), cipher.getAuthTag()]));
}

/** Opens what `encrypt` made; throws when the key or the additional data differ or a bit was altered. */
export function decrypt(key: Uint8Array, additional: string, sealed: Uint8Array): Uint8Array<ArrayBuffer> {
  const decipher = createDecipheriv("aes-256-gcm", key, sealed.subarray(0, nonceBytes))
    .setAAD(Buffer.from(additional))
    .setAuthTag(sealed.subarray(sealed.length - tagBytes));
  const plain = decipher.update(sealed.subarray(nonceBytes, sealed.length - tagBytes));
  return new Uint8Array(Buffer.concat([plain, decipher.final()]));
}
