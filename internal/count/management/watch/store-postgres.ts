import type { Database } from "../../../platform/postgres/database.ts";
import type { WatchedSum, WatchFailure } from "./rules.ts";
import { idsWith } from "../id-range.ts";
import type { WatchStore } from "./store.ts";

/** What is NULL was never watched. */
interface WatchRow {
  readonly count_id: string;
  readonly sum: string | null;
  readonly sum_revision: string | null;
  readonly since_revision: string | null;
  readonly gap_revision: string | null;
  readonly differ_revision: string | null;
  readonly watch_time: Date | null;
}

/** The watch in PostgreSQL: one row a Count. */
export function createPostgresWatchStore({ sql }: Pick<Database, "sql">): WatchStore {
  return {
    advance: async (tx, runs) => {
      const rows = await tx<{ count_id: string; kind: WatchFailure["kind"]; revision: string }[]>`
        WITH merged AS (
          MERGE INTO count_watch w
          USING unnest(
            ${runs.map((run) => run.countId)}::text[], ${runs.map((run) => run.firstRevision)}::bigint[],
            ${runs.map((run) => run.lastRevision)}::bigint[], ${runs.map((run) => String(run.delta))}::bigint[],
            ${runs.map((run) => run.value)}::bigint[], ${runs.map((run) => `${run.consistent}`)}::text[]::boolean[],
            ${runs.map((run) => run.gapRevision)}::bigint[], ${runs.map((run) => run.epoch)}::bigint[],
            ${runs.map((run) => `{${run.deltas.join()}}`)}::text[]
          ) AS run (count_id, first, last, delta, value, consistent, gap, epoch, deltas)
          ON w.count_id = run.count_id
          WHEN MATCHED AND run.epoch < w.epoch THEN DO NOTHING
          -- The store was restored: revisions begin again where the copy ended.
          WHEN MATCHED AND run.epoch > w.epoch THEN UPDATE SET
            epoch = run.epoch,
            sum = run.value,
            sum_revision = run.last,
            since_revision = run.last,
            gap_revision = run.gap,
            differ_revision = CASE WHEN run.consistent THEN 0 ELSE run.last END,
            watch_time = now()
          WHEN MATCHED AND run.first = w.sum_revision + 1 THEN UPDATE SET
            sum = w.sum + run.delta,
            sum_revision = run.last,
            gap_revision = greatest(w.gap_revision, run.gap),
            differ_revision = CASE WHEN w.differ_revision = 0 AND NOT (run.consistent AND w.sum + run.delta = run.value)
              THEN run.last ELSE w.differ_revision END,
            watch_time = now()
          WHEN MATCHED AND run.first > w.sum_revision AND w.gap_revision <= w.sum_revision THEN UPDATE SET
            gap_revision = run.first
          -- A watch that began anew in the midst of this message: only what came after.
          WHEN MATCHED AND run.first <= w.sum_revision AND run.last > w.sum_revision THEN UPDATE SET
            sum = w.sum + (SELECT sum(d) FROM unnest((run.deltas::bigint[])[w.sum_revision - run.first + 2 :]) d),
            sum_revision = run.last,
            gap_revision = greatest(w.gap_revision, run.gap),
            differ_revision = CASE WHEN w.differ_revision = 0 AND NOT (run.consistent AND w.sum +
                (SELECT sum(d) FROM unnest((run.deltas::bigint[])[w.sum_revision - run.first + 2 :]) d) = run.value)
              THEN run.last ELSE w.differ_revision END,
            watch_time = now()
          WHEN NOT MATCHED AND run.first = 1 THEN
            INSERT (count_id, epoch, sum, sum_revision, since_revision, gap_revision, differ_revision, watch_time)
            VALUES (run.count_id, run.epoch, run.delta, run.last, 0, run.gap,
              CASE WHEN run.consistent AND run.delta = run.value THEN 0 ELSE run.last END, now())
          WHEN NOT MATCHED THEN
            INSERT (count_id, epoch, sum, sum_revision, since_revision, gap_revision, differ_revision, watch_time)
            VALUES (run.count_id, run.epoch, 0, 0, 0, run.first, 0, now())
          RETURNING w.count_id, w.sum_revision, w.gap_revision, w.differ_revision, run.last)
        SELECT count_id, 'difference' AS kind, differ_revision AS revision FROM merged
          WHERE differ_revision = last
        UNION ALL
        SELECT count_id, 'gap', gap_revision FROM merged WHERE gap_revision > sum_revision`;
      return rows.map((row) => ({ countId: row.count_id, kind: row.kind, revision: BigInt(row.revision) }));
    },

    list: async (prefix, after, limit) => {
      const { first, end } = idsWith(prefix);
      const rows = await sql<WatchRow[]>`
        SELECT info.count_id, w.sum, w.sum_revision, w.since_revision, w.gap_revision, w.differ_revision, w.watch_time
        FROM count_info info LEFT JOIN count_watch w USING (count_id)
        WHERE info.count_id > ${after} AND info.count_id >= ${first} AND info.count_id < ${end}
          AND info.state <> 'PENDING'
        ORDER BY info.count_id LIMIT ${limit}`;
      return rows.map(toSum);
    },

    restart: async (counts) => {
      await sql`
        INSERT INTO count_watch AS w (count_id, sum, sum_revision, since_revision, watch_time)
        SELECT count_id, value, revision, revision, now() FROM unnest(
          ${counts.map(({ watched }) => watched.countId)}::text[], ${counts.map(({ stored }) => stored.value.toString())}::bigint[],
          ${counts.map(({ stored }) => stored.revision.toString())}::bigint[]) AS stored (count_id, value, revision)
        ON CONFLICT (count_id) DO UPDATE SET sum = excluded.sum, sum_revision = excluded.sum_revision,
          since_revision = excluded.since_revision, gap_revision = 0, differ_revision = 0, watch_time = now()
        WHERE w.sum_revision < excluded.sum_revision`;
    },
  };
}

function toSum(row: WatchRow): WatchedSum {
  return {
    countId: row.count_id,
    sum: BigInt(row.sum ?? 0),
    sumRevision: BigInt(row.sum_revision ?? 0),
    sinceRevision: BigInt(row.since_revision ?? 0),
    gapRevision: BigInt(row.gap_revision ?? 0),
    differRevision: BigInt(row.differ_revision ?? 0),
    watchTimeMs: row.watch_time?.getTime(),
  };
}
