import type { Database, Transaction } from "../../../platform/postgres/database.ts";
import type { RememberedRequest, RequestName, RequestStore } from "./store.ts";

interface RequestRow {
  readonly principal: string;
  readonly request_id: string;
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
    enter: async (tx, requests) => {
      if (requests.length === 0) return [];
      const names = requests.map(({ request }) => request);
      const entered = await tx<Pick<RequestRow, "principal" | "request_id">[]>`
        INSERT INTO request_memory (principal, request_id, fingerprint, count_id, expire_time)
        SELECT principal, request_id, decode(fingerprint, 'hex'), count_id, now() + ${windowMs} * interval '1 millisecond'
        FROM unnest(${principalsOf(names)}::text[], ${idsOf(names)}::text[],
            ${names.map(({ fingerprint }) => hex(fingerprint))}::text[],
            ${requests.map(({ countId }) => countId)}::text[])
          AS given (principal, request_id, fingerprint, count_id)
        ORDER BY principal COLLATE "C", request_id COLLATE "C"
        ON CONFLICT (principal, request_id) DO UPDATE
          SET fingerprint = excluded.fingerprint, count_id = excluded.count_id, response = NULL,
            expire_time = excluded.expire_time
          WHERE request_memory.expire_time <= now() AND request_memory.response IS NOT NULL
        RETURNING principal, request_id`;
      const fresh = new Set(entered.map(nameOfRow));
      const known = await readKnown(
        tx,
        names.filter((name) => !fresh.has(nameOf(name))),
      );
      return requests.map(({ request, countId }) => {
        const name = nameOf(request);
        if (fresh.has(name)) return undefined;
        // Removed just now, by a change that was refused: what it was is not known any more, and it is not this request's turn.
        return known.get(name) ?? { fingerprint: new Uint8Array(), countId, response: undefined };
      });
    },

    answer: async (tx, answers) => {
      if (answers.length === 0) return;
      const names = answers.map(({ request }) => request);
      await Promise.all([
        lock(tx, names),
        tx`
          UPDATE request_memory SET response = decode(given.response, 'hex'),
            expire_time = now() + ${windowMs} * interval '1 millisecond'
          FROM unnest(${principalsOf(names)}::text[], ${idsOf(names)}::text[],
              ${answers.map(({ response }) => hex(response))}::text[]) AS given (principal, request_id, response)
          WHERE ${areThese(tx, names)} AND request_memory.principal = given.principal
            AND request_memory.request_id = given.request_id`,
      ]);
    },

    remove: async (tx, requests) => {
      if (requests.length === 0) return;
      await Promise.all([lock(tx, requests), tx`DELETE FROM request_memory WHERE ${areThese(tx, requests)}`]);
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

/** Locks the rows of requests, in the order of their names; one row needs no order. */
async function lock(tx: Transaction, requests: readonly RequestName[]): Promise<void> {
  if (requests.length < 2) return;
  await tx`
    SELECT FROM request_memory WHERE ${areThese(tx, requests)}
    ORDER BY principal COLLATE "C", request_id COLLATE "C" FOR UPDATE`;
}

async function readKnown(
  tx: Transaction,
  requests: readonly RequestName[],
): Promise<ReadonlyMap<string, RememberedRequest>> {
  if (requests.length === 0) return new Map();
  const rows = await tx<RequestRow[]>`SELECT * FROM request_memory WHERE ${areThese(tx, requests)}`;
  return new Map(
    rows.map((row) => [
      nameOfRow(row),
      { fingerprint: row.fingerprint, countId: row.count_id, response: row.response ?? undefined },
    ]),
  );
}

/** The condition that a row is one of these. The ANY are for the planner: without them it reads the whole table. */
function areThese(tx: Transaction, requests: readonly RequestName[]) {
  const principals = [...new Set(principalsOf(requests))];
  return tx`
    request_memory.principal = ANY(${principals}::text[]) AND request_memory.request_id = ANY(${idsOf(requests)}::text[])
    AND (request_memory.principal, request_memory.request_id) IN (
      SELECT * FROM unnest(${principalsOf(requests)}::text[], ${idsOf(requests)}::text[]))`;
}

function principalsOf(requests: readonly RequestName[]): readonly string[] {
  return requests.map(({ principal }) => principal);
}

function idsOf(requests: readonly RequestName[]): readonly string[] {
  return requests.map(({ requestId }) => requestId);
}

function nameOfRow(row: Pick<RequestRow, "principal" | "request_id">): string {
  return nameOf({ principal: row.principal, requestId: row.request_id });
}

/** The name as one text; a request id is printable. */
function nameOf({ principal, requestId }: RequestName): string {
  return `${requestId}\n${principal}`;
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("hex");
}
