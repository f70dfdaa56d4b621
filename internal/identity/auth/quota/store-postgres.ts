import type { QuotaStore, QuotaUses } from "./store.ts";

/** The clocks of two processes may differ by so much: a window that ends later than that was begun by one that was put back. */
const clockMarginMs = 60_000;

/** Counts of what was asked for in PostgreSQL. */
export const postgresQuotaStore: QuotaStore = {
  read: async (on, subjectHash, { nowMs, windowMs }) => {
    const [row] = await on<Row[]>`
      SELECT uses, window_end_time FROM network_quotas
      WHERE subject_hash = ${subjectHash} AND window_end_time > ${new Date(nowMs)}
        AND window_end_time <= ${new Date(nowMs + windowMs + clockMarginMs)}`;
    return usesOf(row);
  },

  add: async (tx, subjectHash, { nowMs, windowMs }) => {
    const now = new Date(nowMs);
    const windowEnd = new Date(nowMs + windowMs);
    const latest = new Date(nowMs + windowMs + clockMarginMs);
    const [row] = await tx<Row[]>`
      INSERT INTO network_quotas AS q (subject_hash, uses, window_end_time) VALUES (${subjectHash}, 1, ${windowEnd})
      ON CONFLICT (subject_hash) DO UPDATE SET
        uses = CASE WHEN q.window_end_time > ${now} AND q.window_end_time <= ${latest} THEN q.uses + 1 ELSE 1 END,
        window_end_time = CASE WHEN q.window_end_time > ${now} AND q.window_end_time <= ${latest} THEN q.window_end_time
          ELSE ${windowEnd} END
      RETURNING uses, window_end_time`;
    return usesOf(row);
  },

  prune: async (tx, nowMs, rowsMax) => {
    await tx`
      DELETE FROM network_quotas WHERE subject_hash IN
        (SELECT subject_hash FROM network_quotas WHERE window_end_time <= ${new Date(nowMs)} LIMIT ${rowsMax})`;
  },
};

interface Row {
  readonly uses: number;
  readonly window_end_time: Date;
}

function usesOf(row: Row | undefined): QuotaUses {
  return { uses: row?.uses ?? 0, windowEndMs: row?.window_end_time.getTime() ?? 0 };
}
