import { int, secret, type ConfigField, type ConfigValues, type Secret } from "../../platform/config/fields.ts";
import { issuerField } from "../../platform/identity/issuer.ts";
import { signUpField } from "../../platform/identity/sign-up.ts";
import { accessTokenLifeMsMax } from "../../platform/identity/token-claims.ts";
import { mailFromField, mailUrlField } from "../../platform/mail/mail-config.ts";

const minuteMs = 60_000;
const hourMs = 60 * minuteMs;
const dayMs = 86_400_000;

/** The least that OWASP's Password Storage Cheat Sheet advises for Argon2id with a parallelism of one. */
const owaspMemoryKib = 19_456;
const owaspPasses = 2;

/** With this, the keys that are published at a time are a few: a verifier takes 64. */
const signingKeyLifeMsMin = 7 * dayMs;

/** A key-encryption secret shorter than this could be guessed. */
const keyEncryptionSecretCharsMin = 32;

/** A secret long enough to derive keys from. */
function longSecret(name: string, options: { readonly doc: string }): ConfigField<Secret> {
  const field = secret(name, options);
  return {
    ...field,
    accepts: `secret text of ${keyEncryptionSecretCharsMin} to 4096 characters`,
    parse: (value) => (value.length >= keyEncryptionSecretCharsMin ? field.parse(value) : undefined),
  };
}

/** Settings of auth, `MUIN_AUTH_<NAME>`. */
export const authConfig = {
  keyEncryptionSecret: longSecret("KEY_ENCRYPTION_SECRET", {
    doc: "Encrypts signing keys and people's keys in the database. Losing it loses them: people sign in again, and personal fields in events can no longer be read. It cannot be changed in place.",
  }),
  issuer: issuerField,
  signUp: signUpField,
  mailUrl: mailUrlField,
  mailFrom: mailFromField,
  accessTokenLifeMs: int("ACCESS_TOKEN_LIFE_MS", {
    doc: "How long an access token is good for.",
    default: accessTokenLifeMsMax,
    min: minuteMs,
    max: accessTokenLifeMsMax,
  }),
  refreshTokenLifeMs: int("REFRESH_TOKEN_LIFE_MS", {
    doc: "How long a session lasts without being refreshed.",
    default: 30 * dayMs,
    min: minuteMs,
    max: 366 * dayMs,
  }),
  sessionLifeMs: int("SESSION_LIFE_MS", {
    doc: "How long a session lasts at the longest, however often it is refreshed.",
    default: 180 * dayMs,
    min: minuteMs,
    max: 3660 * dayMs,
  }),
  signingKeyLifeMs: int("SIGNING_KEY_LIFE_MS", {
    doc: "How long a key signs tokens before the next one takes over.",
    default: 30 * dayMs,
    min: signingKeyLifeMsMin,
    max: 366 * dayMs,
  }),
  signingKeyAheadMs: int("SIGNING_KEY_AHEAD_MS", {
    doc: "How long a key is published before it signs; longer than any verifier keeps the key set.",
    default: dayMs,
    min: hourMs,
    max: 7 * dayMs,
  }),
  argon2MemoryKib: int("ARGON2_MEMORY_KIB", {
    doc: "Memory of one Argon2id computation in KiB. Not below what OWASP advises.",
    default: owaspMemoryKib,
    min: owaspMemoryKib,
    max: 1_048_576,
  }),
  argon2Passes: int("ARGON2_PASSES", {
    doc: "Passes of one Argon2id computation.",
    default: owaspPasses,
    min: owaspPasses,
    max: 64,
  }),
  argon2Concurrent: int("ARGON2_CONCURRENT", {
    doc: "Argon2id computations at a time; each takes ARGON2_MEMORY_KIB and a processor.",
    default: 2,
    min: 1,
    max: 256,
  }),
  argon2Waiting: int("ARGON2_WAITING", {
    doc: "Calls that may wait for an Argon2id computation, of each of three ranks: sign-ups, sign-ins, and people who are known; more are refused with RESOURCE_EXHAUSTED.",
    default: 64,
    min: 0,
    max: 10_000,
  }),
  argon2WaitingPerNetwork: int("ARGON2_WAITING_PER_NETWORK", {
    doc: "Of the calls of a rank that may wait for an Argon2id computation, those of one network.",
    default: 32,
    min: 0,
    max: 10_000,
  }),
  argon2WaitMs: int("ARGON2_WAIT_MS", {
    doc: "How long a call waits for an Argon2id computation before it is refused.",
    default: 5000,
    min: 100,
    max: 60_000,
  }),
  auditRetentionDays: int("AUDIT_RETENTION_DAYS", {
    doc: "How long the audit log keeps an act, in days. It goes with its month.",
    default: 400,
    min: 90,
    max: 3660,
  }),
  signUpsPerNetworkMax: int("SIGN_UPS_PER_NETWORK_MAX", {
    doc: "Sign-ups that one network (an IPv4 address, an IPv6 /64) may try within an hour, whatever comes of them.",
    default: 30,
    min: 1,
    max: 1_000_000,
  }),
  mailsPerNetworkMax: int("MAILS_PER_NETWORK_MAX", {
    doc: "Mails of one kind that one network may have sent within an hour, to whomever.",
    default: 30,
    min: 1,
    max: 1_000_000,
  }),
  mailsMax: int("MAILS_MAX", {
    doc: "Mails of one kind that all networks together may have sent within an hour.",
    default: 2000,
    min: 1,
    max: 10_000_000,
  }),
} as const;

/** The values of auth's settings. */
export type AuthConfig = ConfigValues<typeof authConfig>;
