import { createHash } from "node:crypto";
import type { Random } from "../../../platform/clock/random.ts";

const challengeBytes = 32;
const challengeLifeMs = 5 * 60_000;

/** What stands between a right password and a session when there is a second factor. */
export interface Challenge {
  /** Opaque. Only its hash is kept. */
  readonly text: string;
  /** Milliseconds since 1970. */
  readonly expireTimeMs: number;
}

/** Makes a challenge that is good for five minutes. */
export function makeChallenge(random: Random, nowMs: number): Challenge {
  const text = Buffer.from(random.bytes(challengeBytes)).toString("base64url");
  return { text, expireTimeMs: nowMs + challengeLifeMs };
}

/** SHA-256 of a challenge: all that the database keeps of it. */
export function hashOfChallenge(text: string): Uint8Array {
  return new Uint8Array(createHash("sha256").update(text).digest());
}
