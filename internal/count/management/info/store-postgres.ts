import type { Database, Transaction } from "../../../platform/postgres/database.ts";
import { resourceErrors } from "../../../platform/resource/errors.ts";
import { decide, type CountContent, type CountRecord, type CountStateName, type Operation } from "./plan.ts";
import { withPrefix } from "../sql-prefix.ts";
import type { Acceptance, CountChange, CountInfoStore, RequestIdentity } from "./store.ts";

interface InfoRow {
  readonly count_id: string;
  readonly display_name: string;
  readonly labels: Record<string, string>;
  readonly min_value: string | null;
  readonly max_value: string | null;
  readonly state: CountStateName;
  readonly version: string;
  readonly info_revision: string;
  readonly create_time: Date;
  readonly update_time: Date;
}

interface ChangeRow {
  readonly count_id: string;
  readonly info_revision: string;
  readonly operation: Operation;
  readonly display_name: string;
  readonly labels: Record<string, string>;
  readonly min_value: string | null;
  readonly max_value: string | null;
  readonly initial_value: string | null;
  readonly start_time: Date;
  readonly create_time: Date;
}

/** CountInfoDB in PostgreSQL. Times are the database's own, so that all instances agree on them. */
export function createPostgresCountInfoStore(options: {
  readonly database: Database;
  /** How long a request_id is remembered, in milliseconds. */
  readonly requestIdWindowMs: number;
}): CountInfoStore {
  const { database, requestIdWindowMs } = options;
  const { sql } = database;

  /** Reserves the request_id. Returns what is known of it when it is taken. */
  const remember = async (
    tx: Transaction,
    request: RequestIdentity,
    countId: string,
  ): Promise<Exclude<Acceptance, { kind: "accepted" | "busy" }> | undefined> => {
    // Waits for a concurrent transaction with the same request_id; an expired row is as good as none.
    const reserved = await tx`
      INSERT INTO request_memory (principal, request_id, fingerprint, count_id, expire_time)
      VALUES (${request.principal}, ${request.requestId}, ${request.fingerprint}, ${countId},
        now() + ${requestIdWindowMs} * interval '1 millisecond')
      ON CONFLICT (principal, request_id) DO UPDATE
        SET fingerprint = excluded.fingerprint, count_id = excluded.count_id, response = NULL,
          expire_time = excluded.expire_time
        WHERE request_memory.expire_time <= now() AND request_memory.response IS NOT NULL
      RETURNING 1`;
    if (reserved.length > 0) return undefined;
    const [known] = await tx<{ fingerprint: Uint8Array; count_id: string; response: Uint8Array | null }[]>`
      SELECT fingerprint, count_id, response FROM request_memory
      WHERE principal = ${request.principal} AND request_id = ${request.requestId}`;
    if (known === undefined || !Buffer.from(known.fingerprint).equals(request.fingerprint)) {
      return {
        kind: "refused",
        error: resourceErrors.requestIdReused({
          violations: [{ field: "request_id", description: "was used for another request" }],
        }),
      };
    }
    if (known.response !== null) return { kind: "replayed", response: known.response };
    const change = await changeOf(tx, known.count_id);
    // A row without a reply has its change beside it: both come and go in the same transactions.
    if (change === undefined) throw new Error(`request of Count ${known.count_id} has neither reply nor change`);
    return { kind: "resumed", change };
  };

  return {
    get: async (countId) => {
      const [row] = await sql<InfoRow[]>`SELECT * FROM count_info WHERE count_id = ${countId}`;
      return row === undefined ? undefined : toRecord(row);
    },

    list: async (query, after, limit) => {
      const rows = await sql<InfoRow[]>`
        SELECT * FROM count_info
        WHERE state = ${query.state} AND state <> 'PENDING' AND count_id > ${after}
          ${withPrefix(sql, query.prefix)}
          ${query.labels.length === 0 ? sql`` : query.labels.map(([key, value]) => sql`AND labels @> ${sql.json({ [key]: value })}`)}
        ORDER BY count_id LIMIT ${limit}`;
      return rows.map(toRecord);
    },

    accept: (mutation, request) =>
      database
        .transaction<Acceptance>(async (tx) => {
          const { countId } = mutation;
          if (mutation.operation === "CREATE") {
            // First come: a second creator waits here until the first one's row is there, then finds it below.
            await tx`
            INSERT INTO count_info (count_id, display_name, labels, state, version, info_revision, create_time, update_time)
            VALUES (${countId}, '', '{}', 'PENDING', 0, 0, now(), now()) ON CONFLICT DO NOTHING`;
          }
          const [row] = await tx<InfoRow[]>`SELECT * FROM count_info WHERE count_id = ${countId} FOR UPDATE`;
          const isNew = row?.info_revision === "0";
          if (request.requestId !== "") {
            const known = await remember(tx, request, countId);
            if (known !== undefined) throw new Unaccepted(known);
          }
          const busy = row === undefined || isNew ? undefined : await changeOf(tx, countId);
          if (busy !== undefined && row?.state !== "PENDING") throw new Unaccepted({ kind: "busy", change: busy });
          const plan = decide(row === undefined || isNew ? undefined : toRecord(row), mutation);
          if (row === undefined || plan instanceof Error) {
            throw new Unaccepted({ kind: "refused", error: plan as Exclude<typeof plan, { content: unknown }> });
          }
          const { content } = plan;
          await tx`
          UPDATE count_info SET info_revision = info_revision + 1, state = ${plan.stateMeanwhile} WHERE count_id = ${countId}`;
          await tx`
          INSERT INTO count_change (count_id, info_revision, operation, display_name, labels, min_value, max_value,
            initial_value, principal, request_id, start_time, attempt_time)
          VALUES (${countId}, ${Number(row.info_revision) + 1}, ${mutation.operation}, ${content.displayName},
            ${tx.json(content.labels)}, ${content.minValue?.toString() ?? null}, ${content.maxValue?.toString() ?? null},
            ${mutation.operation === "CREATE" ? mutation.initialValue.toString() : null},
            ${request.principal}, ${request.requestId === "" ? null : request.requestId}, now(), now())`;
          const change = await changeOf(tx, countId);
          if (change === undefined) throw new Error("a change that was just recorded is there");
          return { kind: "accepted", change };
        })
        .catch((error: unknown) => {
          if (error instanceof Unaccepted) return error.acceptance;
          throw error;
        }),

    announceCreation: (change, record, announce) =>
      database.transaction(async (tx) => {
        const isUnderWay = (await changeOf(tx, change.countId))?.infoRevision === change.infoRevision;
        if (isUnderWay) await makeKnown(tx, record, announce);
      }),

    complete: (change, record, announce, response) =>
      database.transaction(async (tx) => {
        const done = await takeChange(tx, change);
        if (done === undefined) return false;
        await makeKnown(tx, record, announce);
        if (done.request_id !== null) {
          await tx`
            UPDATE request_memory SET response = ${response},
              expire_time = now() + ${requestIdWindowMs} * interval '1 millisecond'
            WHERE principal = ${done.principal} AND request_id = ${done.request_id}`;
        }
        return true;
      }),

    withdraw: (change) =>
      database.transaction(async (tx) => {
        const done = await takeChange(tx, change);
        if (done === undefined || done.request_id === null) return;
        await tx`DELETE FROM request_memory WHERE principal = ${done.principal} AND request_id = ${done.request_id}`;
      }),

    claim: async (ageMs, limit) => {
      const rows = await sql<ChangeRow[]>`
        WITH claimed AS (
          UPDATE count_change SET attempt_time = now() WHERE count_id IN (
            SELECT count_id FROM count_change WHERE attempt_time <= now() - ${ageMs} * interval '1 millisecond'
            ORDER BY attempt_time LIMIT ${limit} FOR UPDATE SKIP LOCKED)
          RETURNING *)
        SELECT claimed.*, info.create_time FROM claimed JOIN count_info info USING (count_id)`;
      return rows.map(toChange);
    },

    forgetRequests: async (limit) => {
      const gone = await sql`
        DELETE FROM request_memory WHERE (principal, request_id) IN (
          SELECT principal, request_id FROM request_memory WHERE expire_time <= now() AND response IS NOT NULL
          LIMIT ${limit} FOR UPDATE SKIP LOCKED)`;
      return gone.count;
    },

    republish: (after, limit, announce) =>
      database.transaction(async (tx) => {
        // Locked, so that what is announced is the newest; a Count on its way to another state announces itself.
        const rows = await tx<InfoRow[]>`
          SELECT * FROM count_info WHERE count_id > ${after} AND state IN ('ACTIVE', 'DELETED')
          ORDER BY count_id LIMIT ${limit} FOR UPDATE`;
        for (const row of rows) await announce(tx, toRecord(row));
        return { last: rows.at(-1)?.count_id ?? "", announced: rows.length };
      }),
  };
}

/** Records the Count as a change made it, and announces it, unless that was done before. */
async function makeKnown(
  tx: Transaction,
  record: CountRecord,
  announce: (tx: Transaction) => Promise<void>,
): Promise<void> {
  const known = await tx`
    UPDATE count_info SET display_name = ${record.displayName}, labels = ${tx.json(record.labels)},
      min_value = ${record.minValue?.toString() ?? null}, max_value = ${record.maxValue?.toString() ?? null},
      state = ${record.state}, version = ${record.version}, update_time = ${new Date(record.updateTimeMs)}
    WHERE count_id = ${record.countId} AND version < ${record.version}`;
  if (known.count > 0) await announce(tx);
}

async function changeOf(tx: Transaction, countId: string): Promise<CountChange | undefined> {
  const [row] = await tx<ChangeRow[]>`
    SELECT change.*, info.create_time FROM count_change change JOIN count_info info USING (count_id)
    WHERE count_id = ${countId}`;
  return row === undefined ? undefined : toChange(row);
}

/** Ends a change: `undefined` when somebody has ended it before. */
async function takeChange(
  tx: Transaction,
  change: CountChange,
): Promise<{ readonly principal: string; readonly request_id: string | null } | undefined> {
  // The Count's row first, as in accept: whoever waits here sees what the one before did.
  await tx`SELECT FROM count_info WHERE count_id = ${change.countId} FOR UPDATE`;
  const [done] = await tx<{ principal: string; request_id: string | null }[]>`
    DELETE FROM count_change WHERE count_id = ${change.countId} AND info_revision = ${change.infoRevision}
    RETURNING principal, request_id`;
  return done;
}

/** Rolls the transaction of an acceptance back and carries what came of it. */
class Unaccepted extends Error {
  readonly acceptance: Acceptance;

  constructor(acceptance: Acceptance) {
    super(`not accepted: ${acceptance.kind}`);
    this.acceptance = acceptance;
  }
}

function toRecord(row: InfoRow): CountRecord {
  return {
    countId: row.count_id,
    ...contentOfRow(row),
    state: row.state,
    version: Number(row.version),
    createTimeMs: row.create_time.getTime(),
    updateTimeMs: row.update_time.getTime(),
  };
}

function toChange(row: ChangeRow): CountChange {
  return {
    countId: row.count_id,
    infoRevision: Number(row.info_revision),
    operation: row.operation,
    content: contentOfRow(row),
    initialValue: BigInt(row.initial_value ?? 0),
    createTimeMs: row.create_time.getTime(),
    startTimeMs: row.start_time.getTime(),
  };
}

function contentOfRow(row: InfoRow | ChangeRow): CountContent {
  return {
    displayName: row.display_name,
    labels: row.labels,
    minValue: row.min_value === null ? undefined : BigInt(row.min_value),
    maxValue: row.max_value === null ? undefined : BigInt(row.max_value),
  };
}
