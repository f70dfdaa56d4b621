import type { FailureCount } from "./policy.ts";
import type { LockoutStore } from "./store.ts";

/** Counts of failed attempts in PostgreSQL. */
export const postgresLockoutStore: LockoutStore = {
  lock: async (tx, subjectHash) => {
    const [row] = await tx<Row[]>`
      INSERT INTO sign_in_failures AS f (subject_hash, failures, window_end_time) VALUES (${subjectHash}, 0, ${new Date(0)})
      ON CONFLICT (subject_hash) DO UPDATE SET failures = f.failures
      RETURNING failures, window_end_time, lock_end_time`;
    return countOf(row);
  },

  write: async (tx, subjectHash, { failures, windowEndMs, lockEndMs }) => {
    await tx`
      UPDATE sign_in_failures SET failures = ${failures}, window_end_time = ${new Date(windowEndMs)},
        lock_end_time = ${timeOrNull(lockEndMs)}
      WHERE subject_hash = ${subjectHash}`;
  },

  forget: async (tx, subjectHash) => {
    await tx`DELETE FROM sign_in_failures WHERE subject_hash = ${subjectHash}`;
  },

  takeBack: async (tx, subjectHash, lockEndMs) => {
    await tx`
      UPDATE sign_in_failures SET failures = GREATEST(failures - 1, 0),
        lock_end_time = NULLIF(lock_end_time, ${timeOrNull(lockEndMs)}::timestamptz)
      WHERE subject_hash = ${subjectHash}`;
  },

  rememberNetwork: async (tx, { userId, networkHash, nowMs }, networksMax) => {
    await tx`
      INSERT INTO familiar_networks (user_id, network_hash, use_time)
      VALUES (${userId}, ${networkHash}, ${new Date(nowMs)})
      ON CONFLICT (user_id, network_hash) DO UPDATE SET use_time = excluded.use_time`;
    await tx`
      DELETE FROM familiar_networks WHERE user_id = ${userId} AND network_hash NOT IN
        (SELECT network_hash FROM familiar_networks WHERE user_id = ${userId} ORDER BY use_time DESC LIMIT ${networksMax})`;
  },

  isFamiliar: async (on, email, networkHash, sinceMs) => {
    const rows = await on`
      SELECT 1 FROM familiar_networks JOIN accounts USING (user_id)
      WHERE email = ${email} AND network_hash = ${networkHash} AND use_time > ${new Date(sinceMs)}`;
    return rows.length > 0;
  },

  prune: async (tx, { nowMs, familiarSinceMs }, rowsMax) => {
    const now = new Date(nowMs);
    await tx`
      DELETE FROM sign_in_failures WHERE subject_hash IN
        (SELECT subject_hash FROM sign_in_failures
          WHERE window_end_time < ${now} AND (lock_end_time IS NULL OR lock_end_time < ${now}) LIMIT ${rowsMax})`;
    await tx`
      DELETE FROM familiar_networks WHERE (user_id, network_hash) IN
        (SELECT user_id, network_hash FROM familiar_networks WHERE use_time < ${new Date(familiarSinceMs)} LIMIT ${rowsMax})`;
  },
};

interface Row {
  readonly failures: number;
  readonly window_end_time: Date;
  readonly lock_end_time: Date | null;
}

function countOf(row: Row | undefined): FailureCount {
  return {
    failures: row?.failures ?? 0,
    windowEndMs: row?.window_end_time.getTime() ?? 0,
    lockEndMs: row?.lock_end_time?.getTime() ?? 0,
  };
}

function timeOrNull(ms: number): Date | null {
  return ms === 0 ? null : new Date(ms);
}
