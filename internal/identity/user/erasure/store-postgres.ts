import { isUuid } from "../../../platform/clock/random.ts";
import type { Sql } from "../../../platform/postgres/database.ts";
import type { ErasureStore, StoredErasure } from "./store.ts";

interface ErasureRow {
  readonly erasure_id: string;
  readonly user_id: string;
  readonly state: StoredErasure["state"];
  readonly create_time: Date;
  readonly done_time: Date | null;
  readonly confirmations: readonly { readonly service: string; readonly confirm_time: string | null }[];
}

/** Erasures in PostgreSQL. */
export const postgresErasureStore: ErasureStore = {
  get: async (sql, erasureId) => {
    const [row] = await sql<ErasureRow[]>`SELECT ${columnsOf(sql)} FROM erasures e WHERE erasure_id = ${erasureId}`;
    return row && toErasure(row);
  },

  find: async (tx, userId) => {
    const [row] = await tx<ErasureRow[]>`SELECT ${columnsOf(tx)} FROM erasures e WHERE user_id = ${userId}`;
    return row && toErasure(row);
  },

  add: async (tx, { erasureId, userId, state, confirmations, createTimeMs }) => {
    const services = confirmations.map(({ service }) => service);
    await tx`
      INSERT INTO erasures (erasure_id, user_id, state, create_time)
      VALUES (${erasureId}, ${userId}, ${state}, ${new Date(createTimeMs)})`;
    await tx`
      INSERT INTO erasure_confirmations (erasure_id, service)
      SELECT ${erasureId}, service FROM unnest(${services}::text[]) AS service`;
  },

  confirm: async (tx, userId, service, confirmTimeMs) => {
    if (!isUuid(userId)) return;
    // One confirmation after the other: the last one must see all before it.
    const [erasure] = await tx<{ erasure_id: string }[]>`
      SELECT erasure_id FROM erasures WHERE user_id = ${userId} FOR UPDATE`;
    if (erasure === undefined) return;
    await tx`
      UPDATE erasure_confirmations SET confirm_time = ${new Date(confirmTimeMs)}
      WHERE erasure_id = ${erasure.erasure_id} AND service = ${service} AND confirm_time IS NULL`;
    await tx`
      UPDATE erasures SET state = 'DESTROYING_KEY'
      WHERE erasure_id = ${erasure.erasure_id} AND state = 'ERASING' AND NOT EXISTS (
        SELECT FROM erasure_confirmations c WHERE c.erasure_id = erasures.erasure_id AND confirm_time IS NULL)`;
  },

  erasingIds: async (sql, after, limit) => {
    const rows = await sql<{ user_id: string }[]>`
      SELECT user_id FROM erasures WHERE state = 'ERASING' ${after === "" ? sql`` : sql`AND user_id > ${after}`}
      ORDER BY user_id LIMIT ${limit}`;
    return rows.map((row) => row.user_id);
  },

  due: async (sql, limit) => {
    const rows = await sql<{ erasure_id: string; user_id: string }[]>`
      SELECT erasure_id, user_id FROM erasures WHERE state = 'DESTROYING_KEY' ORDER BY create_time LIMIT ${limit}`;
    return rows.map(({ erasure_id, user_id }) => ({ erasureId: erasure_id, userId: user_id }));
  },

  end: async (sql, erasureId, doneTimeMs) => {
    await sql`
      UPDATE erasures SET state = 'DONE', done_time = ${new Date(doneTimeMs)}
      WHERE erasure_id = ${erasureId} AND state = 'DESTROYING_KEY'`;
  },
};

/** An erasure's row with its confirmations. */
function columnsOf(sql: Sql) {
  return sql`
    e.*, (SELECT jsonb_agg(jsonb_build_object('service', service, 'confirm_time', confirm_time)
      ORDER BY service COLLATE "C") FROM erasure_confirmations c WHERE c.erasure_id = e.erasure_id) AS confirmations`;
}

function toErasure(row: ErasureRow): StoredErasure {
  return {
    erasureId: row.erasure_id,
    userId: row.user_id,
    state: row.state,
    confirmations: row.confirmations.map(({ service, confirm_time }) => ({
      service,
      confirmTimeMs: confirm_time === null ? undefined : Date.parse(confirm_time),
    })),
    createTimeMs: row.create_time.getTime(),
    doneTimeMs: row.done_time?.getTime(),
  };
}
