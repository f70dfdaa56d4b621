import { createHash } from "node:crypto";
import type { Random } from "../../../platform/clock/random.ts";
import { apiKeyPrefix } from "../../../platform/identity/token-claims.ts";

const secretBytes = 32;

/** Makes the secret of a key: a prefix by which it is known as one, and 256 random bits in base64url. */
export function makeSecret(random: Random): string {
  return `${apiKeyPrefix}${Buffer.from(random.bytes(secretBytes)).toString("base64url")}`;
}

/** What of a secret is stored and compared: SHA-256 of its whole text. No salt is needed, since nobody can guess it. */
export function secretHashOf(secret: string): Uint8Array {
  return new Uint8Array(createHash("sha256").update(secret).digest());
}
