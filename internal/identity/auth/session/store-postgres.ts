import type { Session, SessionStore } from "./store.ts";

/** Sessions in PostgreSQL. */
export const postgresSessionStore: SessionStore = {
  insert: async (tx, session) => {
    const { sessionId, userId, userAgent, address, refreshHash, createTimeMs, useTimeMs, expireTimeMs } = session;
    await tx`
      INSERT INTO sessions
        (session_id, user_id, user_agent, address, refresh_hash, version, create_time, use_time, expire_time)
      VALUES (${sessionId}, ${userId}, ${userAgent}, ${address}, ${refreshHash}, 1, ${new Date(createTimeMs)},
        ${new Date(useTimeMs)}, ${new Date(expireTimeMs)})`;
  },

  lock: async (tx, sessionId) => {
    const [row] = await tx<LockedRow[]>`
      SELECT user_id, refresh_hash, create_time, expire_time, end_time FROM sessions
      WHERE session_id = ${sessionId} FOR UPDATE`;
    return (
      row && {
        userId: row.user_id,
        refreshHash: row.refresh_hash,
        createTimeMs: row.create_time.getTime(),
        expireTimeMs: row.expire_time.getTime(),
        isEnded: row.end_time !== null,
      }
    );
  },

  end: async (tx, sessionId, nowMs) => {
    const [row] = await tx<{ version: string; use_time: Date }[]>`
      UPDATE sessions SET end_time = ${new Date(nowMs)}, version = version + 1
      WHERE session_id = ${sessionId} AND end_time IS NULL RETURNING version, use_time`;
    if (row === undefined) return undefined;
    await tx`DELETE FROM refresh_graces WHERE session_id = ${sessionId}`;
    return { version: BigInt(row.version), useTimeMs: row.use_time.getTime() };
  },

  lockOfPerson: async (tx, userId, keptId) => {
    const rows = await tx<{ session_id: string }[]>`
      SELECT session_id FROM sessions
      WHERE user_id = ${userId} AND end_time IS NULL
        AND session_id IS DISTINCT FROM ${keptId === "" ? null : keptId}::uuid
      ORDER BY session_id FOR UPDATE`;
    return rows.map((row) => row.session_id);
  },

  unusedOfPerson: async (tx, userId, nowMs, keptMax) => {
    const rows = await tx<{ session_id: string }[]>`
      SELECT session_id FROM sessions
      WHERE user_id = ${userId} AND end_time IS NULL AND expire_time > ${new Date(nowMs)}
      ORDER BY use_time DESC OFFSET ${keptMax}`;
    return rows.map((row) => row.session_id);
  },

  rotate: async (tx, sessionId, { refreshHash, useTimeMs, expireTimeMs }) => {
    await tx`
      UPDATE sessions SET refresh_hash = ${refreshHash}, use_time = greatest(use_time, ${new Date(useTimeMs)}),
        expire_time = ${new Date(expireTimeMs)}
      WHERE session_id = ${sessionId}`;
  },

  findGrace: async (tx, sessionId, refreshHash) => {
    const [row] = await tx<{ successor_sealed: Uint8Array; client_hash: Uint8Array; rotate_time: Date }[]>`
      SELECT successor_sealed, client_hash, rotate_time FROM refresh_graces
      WHERE refresh_hash = ${refreshHash} AND session_id = ${sessionId}`;
    return (
      row && {
        refreshHash,
        sessionId,
        successorSealed: row.successor_sealed,
        clientHash: row.client_hash,
        rotateTimeMs: row.rotate_time.getTime(),
      }
    );
  },

  addGrace: async (tx, { refreshHash, sessionId, successorSealed, clientHash, rotateTimeMs }, sinceMs, keptMax) => {
    await tx`
      DELETE FROM refresh_graces WHERE session_id = ${sessionId} AND (rotate_time < ${new Date(sinceMs)}
        OR refresh_hash NOT IN (SELECT refresh_hash FROM refresh_graces WHERE session_id = ${sessionId}
          ORDER BY rotate_time DESC LIMIT ${keptMax - 1}))`;
    await tx`
      INSERT INTO refresh_graces (refresh_hash, session_id, successor_sealed, client_hash, rotate_time)
      VALUES (${refreshHash}, ${sessionId}, ${successorSealed}, ${clientHash}, ${new Date(rotateTimeMs)})`;
  },

  list: async (on, userId, nowMs, beforeId, limit) => {
    const rows = await on<Row[]>`
      SELECT session_id, user_agent, address, create_time, use_time, expire_time FROM sessions
      WHERE user_id = ${userId} AND end_time IS NULL AND expire_time > ${new Date(nowMs)}
        ${beforeId === "" ? on`` : on`AND session_id < ${beforeId}`}
      ORDER BY session_id DESC LIMIT ${limit}`;
    return rows.map(sessionOf);
  },

  listAll: async (on, userId, limit) => {
    const rows = await on<Row[]>`
      SELECT session_id, user_agent, address, create_time, use_time, COALESCE(end_time, expire_time) AS expire_time
      FROM sessions WHERE user_id = ${userId} ORDER BY create_time DESC, session_id LIMIT ${limit}`;
    return rows.map(sessionOf);
  },

  prune: async (tx, beforeMs, rowsMax) => {
    const before = new Date(beforeMs);
    await tx`
      DELETE FROM sessions WHERE session_id IN
        (SELECT session_id FROM sessions WHERE end_time < ${before} OR expire_time < ${before} LIMIT ${rowsMax})`;
  },
};

interface Row {
  readonly session_id: string;
  readonly user_agent: string;
  readonly address: string;
  readonly create_time: Date;
  readonly use_time: Date;
  readonly expire_time: Date;
}

interface LockedRow {
  readonly user_id: string;
  readonly refresh_hash: Uint8Array;
  readonly create_time: Date;
  readonly expire_time: Date;
  readonly end_time: Date | null;
}

function sessionOf(row: Row): Session {
  return {
    sessionId: row.session_id,
    userAgent: row.user_agent,
    address: row.address,
    createTimeMs: row.create_time.getTime(),
    useTimeMs: row.use_time.getTime(),
    expireTimeMs: row.expire_time.getTime(),
  };
}
