import type { FactorStore } from "./store.ts";

/** Second factors in PostgreSQL. */
export const postgresFactorStore: FactorStore = {
  find: async (on, userId) => {
    const [row] = await on<Row[]>`
      SELECT secret_sealed, create_time, confirm_time, used_step FROM totp_factors WHERE user_id = ${userId}`;
    return (
      row && {
        secretSealed: row.secret_sealed,
        createTimeMs: row.create_time.getTime(),
        isConfirmed: row.confirm_time !== null,
        usedStep: Number(row.used_step),
      }
    );
  },

  begin: async (tx, userId, secretSealed, nowMs) => {
    await tx`
      INSERT INTO totp_factors AS t (user_id, secret_sealed, create_time, used_step)
      VALUES (${userId}, ${secretSealed}, ${new Date(nowMs)}, 0)
      ON CONFLICT (user_id) DO UPDATE SET secret_sealed = excluded.secret_sealed, create_time = excluded.create_time
      WHERE t.confirm_time IS NULL`;
  },

  confirm: async (tx, userId, { usedStep, recoveryHashes }, nowMs) => {
    await tx`
      UPDATE totp_factors SET confirm_time = ${new Date(nowMs)}, used_step = ${usedStep} WHERE user_id = ${userId}`;
    for (const hash of recoveryHashes) {
      await tx`INSERT INTO recovery_codes (user_id, code_hash) VALUES (${userId}, ${hash})`;
    }
  },

  markUsed: async (tx, userId, usedStep) => {
    await tx`UPDATE totp_factors SET used_step = ${usedStep} WHERE user_id = ${userId}`;
  },

  spendRecoveryCode: async (tx, userId, codeHash) => {
    const rows = await tx`
      DELETE FROM recovery_codes WHERE user_id = ${userId} AND code_hash = ${codeHash} RETURNING user_id`;
    return rows.length > 0;
  },

  countRecoveryCodes: async (on, userId) => {
    const [row] = await on<{ count: number }[]>`
      SELECT count(*)::int AS count FROM recovery_codes WHERE user_id = ${userId}`;
    return row?.count ?? 0;
  },

  remove: async (tx, userId) => {
    await tx`DELETE FROM totp_factors WHERE user_id = ${userId}`; // Its recovery codes go with it.
  },

  addChallenge: async (tx, { userId, challengeHash, expireTimeMs }, keptMax) => {
    await tx`
      DELETE FROM sign_in_challenges WHERE user_id = ${userId} AND challenge_hash NOT IN
        (SELECT challenge_hash FROM sign_in_challenges WHERE user_id = ${userId}
          ORDER BY expire_time DESC LIMIT ${keptMax - 1})`;
    await tx`
      INSERT INTO sign_in_challenges (challenge_hash, user_id, expire_time)
      VALUES (${challengeHash}, ${userId}, ${new Date(expireTimeMs)})`;
  },

  findChallenge: async (on, challengeHash, nowMs) => {
    const [row] = await on<{ user_id: string; email: string }[]>`
      SELECT user_id, email FROM sign_in_challenges JOIN accounts USING (user_id)
      WHERE challenge_hash = ${challengeHash} AND expire_time > ${new Date(nowMs)}`;
    return row && { userId: row.user_id, email: row.email };
  },

  takeChallenge: async (tx, challengeHash) => {
    const rows = await tx`DELETE FROM sign_in_challenges WHERE challenge_hash = ${challengeHash} RETURNING user_id`;
    return rows.length > 0;
  },

  endChallenges: async (tx, userId) => {
    await tx`DELETE FROM sign_in_challenges WHERE user_id = ${userId}`;
  },

  prune: async (tx, beforeMs, rowsMax) => {
    await tx`
      DELETE FROM sign_in_challenges WHERE challenge_hash IN
        (SELECT challenge_hash FROM sign_in_challenges WHERE expire_time < ${new Date(beforeMs)} LIMIT ${rowsMax})`;
  },
};

interface Row {
  readonly secret_sealed: Uint8Array;
  readonly create_time: Date;
  readonly confirm_time: Date | null;
  readonly used_step: string;
}
