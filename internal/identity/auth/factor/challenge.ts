import { createHash } from "node:crypto";
import type { Random } from "../../../platform/clock/random.ts";
import type { Database, Transaction } from "../../../platform/postgres/database.ts";

const challengeBytes = 32;
const challengeLifeMs = 5 * 60_000;
/** Challenges of one person at a time; a further one takes the place of the oldest. */
const challengesPerPersonMax = 16;

/** What stands between a right password and a session when there is a second factor. */
export interface Challenge {
  /** Opaque. Only its hash is kept. */
  readonly text: string;
  readonly expireTimeMs: number;
}

/** Makes a challenge. `tx` must hold the lock of the account's row. */
export async function makeChallenge(
  tx: Transaction,
  random: Random,
  userId: string,
  nowMs: number,
): Promise<Challenge> {
  const text = Buffer.from(random.bytes(challengeBytes)).toString("base64url");
  const expireTimeMs = nowMs + challengeLifeMs;
  await tx`
    DELETE FROM sign_in_challenges WHERE user_id = ${userId} AND challenge_hash NOT IN
      (SELECT challenge_hash FROM sign_in_challenges WHERE user_id = ${userId}
        ORDER BY expire_time DESC LIMIT ${challengesPerPersonMax - 1})`;
  await tx`
    INSERT INTO sign_in_challenges (challenge_hash, user_id, expire_time)
    VALUES (${hashOf(text)}, ${userId}, ${new Date(expireTimeMs)})`;
  return { text, expireTimeMs };
}

/** Whose challenge it is; `undefined` for one that never was, has ended or was used. */
export async function findChallenge(
  database: Database,
  text: string,
  nowMs: number,
): Promise<{ readonly userId: string; readonly email: string } | undefined> {
  const [row] = await database.sql<{ user_id: string; email: string }[]>`
    SELECT user_id, email FROM sign_in_challenges JOIN accounts USING (user_id)
    WHERE challenge_hash = ${hashOf(text)} AND expire_time > ${new Date(nowMs)}`;
  return row && { userId: row.user_id, email: row.email };
}

/** Uses a challenge up; false when that happened before. `tx` must hold the lock of the account's row. */
export async function takeChallenge(tx: Transaction, text: string): Promise<boolean> {
  const rows = await tx`DELETE FROM sign_in_challenges WHERE challenge_hash = ${hashOf(text)} RETURNING user_id`;
  return rows.length > 0;
}

/** Ends all challenges of a person: their password is another now. */
export async function endChallenges(tx: Transaction, userId: string): Promise<void> {
  await tx`DELETE FROM sign_in_challenges WHERE user_id = ${userId}`;
}

function hashOf(text: string): Uint8Array {
  return new Uint8Array(createHash("sha256").update(text).digest());
}
