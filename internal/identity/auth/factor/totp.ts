import { createHmac, timingSafeEqual } from "node:crypto";

const stepMs = 30_000;
const digits = 6;
/** Clocks of app and server may differ by so many steps, either way (RFC 6238, section 5.2). */
const driftSteps = 1;

/** 160 bits, as RFC 4226 recommends. */
export const totpSecretBytes = 20;

/** Two steps, a minute: the clocks of two processes may differ by so much. */
const clockMarginSteps = 2;

/** The number of the 30-second step that a moment lies in. */
export function totpStepAt(nowMs: number): number {
  return Math.floor(nowMs / stepMs);
}

/** The six digits of a step: HOTP (RFC 4226, section 5.3) with HMAC-SHA-1 over the step's number. */
export function totpCode(secret: Uint8Array, step: number): string {
  const counter = Buffer.alloc(8);
  counter.writeBigUInt64BE(BigInt(step));
  const mac = createHmac("sha1", secret).update(counter).digest();
  const offset = mac.readUInt8(mac.length - 1) & 0xf;
  const number = mac.readUInt32BE(offset) & 0x7fffffff;
  return String(number % 10 ** digits).padStart(digits, "0");
}

/**
 * The step whose code this is, among those near `nowMs` and after `usedStep`; `undefined` for a wrong or used code. A used step that is
 * yet to come was used by a clock that was put back since, and counts for nothing.
 */
export function matchTotp(secret: Uint8Array, code: string, nowMs: number, usedStep: number): number | undefined {
  const given = Buffer.from(code);
  const now = totpStepAt(nowMs);
  const last = usedStep > now + driftSteps + clockMarginSteps ? 0 : usedStep;
  let found: number | undefined;
  for (let step = Math.max(now - driftSteps, last + 1); step <= now + driftSteps; step++) {
    const expected = Buffer.from(totpCode(secret, step));
    if (given.length === expected.length && timingSafeEqual(given, expected)) found ??= step;
  }
  return found;
}

/** What an authenticator app reads from a QR code (the otpauth key URI format). */
export function totpUri(secret: Uint8Array, issuer: string, account: string): string {
  const label = `${encodeURIComponent(issuer)}:${encodeURIComponent(account)}`;
  return `otpauth://totp/${label}?secret=${base32(secret)}&issuer=${encodeURIComponent(issuer)}`;
}

/** Base32 (RFC 4648) in upper case, without padding. */
export function base32(bytes: Uint8Array): string {
  const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
  const bits = Array.from(bytes, (byte) => byte.toString(2).padStart(8, "0")).join("");
  return (bits.match(/.{1,5}/g) ?? []).map((five) => alphabet[Number.parseInt(five.padEnd(5, "0"), 2)]).join("");
}
