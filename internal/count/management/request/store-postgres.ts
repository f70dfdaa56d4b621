import type { Database } from "../../../platform/postgres/database.ts";
import type { RequestStore } from "./store.ts";

interface RequestRow {
  readonly fingerprint: Uint8Array;
  readonly count_id: string;
  readonly response: Uint8Array | null;
}

/** Requests in PostgreSQL, each remembered for `windowMs` milliseconds by the database's clock. */
export function createPostgresRequestStore({
  sql,
  windowMs,
}: Pick<Database, "sql"> & { readonly windowMs: number }): RequestStore {
  return {
    enter: async (tx, { principal, requestId, fingerprint }, countId) => {
      const entered = await tx`
        INSERT INTO request_memory (principal, request_id, fingerprint, count_id, expire_time)
        VALUES (${principal}, ${requestId}, ${fingerprint}, ${countId}, now() + ${windowMs} * interval '1 millisecond')
        ON CONFLICT (principal, request_id) DO UPDATE
          SET fingerprint = excluded.fingerprint, count_id = excluded.count_id, response = NULL,
            expire_time = excluded.expire_time
          WHERE request_memory.expire_time <= now() AND request_memory.response IS NOT NULL
        RETURNING 1`;
      if (entered.length > 0) return undefined;
      const [row] = await tx<RequestRow[]>`
        SELECT fingerprint, count_id, response FROM request_memory
        WHERE principal = ${principal} AND request_id = ${requestId}`;
      // Removed just now, by a change that was refused: what it was is not known any more, and it is not this request's turn.
      if (row === undefined) return { fingerprint: new Uint8Array(), countId, response: undefined };
      return { fingerprint: row.fingerprint, countId: row.count_id, response: row.response ?? undefined };
    },

    answer: async (tx, { principal, requestId }, response) => {
      await tx`
        UPDATE request_memory SET response = ${response}, expire_time = now() + ${windowMs} * interval '1 millisecond'
        WHERE principal = ${principal} AND request_id = ${requestId}`;
    },

    remove: async (tx, { principal, requestId }) => {
      await tx`DELETE FROM request_memory WHERE principal = ${principal} AND request_id = ${requestId}`;
    },

    removeExpired: async (limit) => {
      const removed = await sql`
        DELETE FROM request_memory WHERE (principal, request_id) IN (
          SELECT principal, request_id FROM request_memory WHERE expire_time <= now() AND response IS NOT NULL
          LIMIT ${limit} FOR UPDATE SKIP LOCKED)`;
      return removed.count;
    },
  };
}
