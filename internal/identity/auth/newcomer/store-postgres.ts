import type { Newcomer, NewcomerStore } from "./store.ts";

/** Newcomers in PostgreSQL. */
export const postgresNewcomerStore: NewcomerStore = {
  insert: async (tx, newcomer, inviter) => {
    const { newcomerId, email, displayName, passwordHash = null, createTimeMs, expireTimeMs } = newcomer;
    await tx`
      INSERT INTO newcomers
        (newcomer_id, email, display_name, password_hash, inviter, request_id, create_time, expire_time)
      VALUES (${newcomerId}, ${email}, ${displayName}, ${passwordHash}, ${inviter?.principal ?? ""},
        ${inviter?.requestId ?? ""}, ${new Date(createTimeMs)}, ${new Date(expireTimeMs)})`;
  },

  find: async (on, newcomerId) => {
    const [row] = await on<Row[]>`SELECT * FROM newcomers WHERE newcomer_id = ${newcomerId}`;
    return row && newcomerOf(row);
  },

  listInvited: async (on, { beforeId, nowMs }, limit) => {
    const rows = await on<Row[]>`
      SELECT * FROM newcomers WHERE inviter <> '' AND expire_time > ${new Date(nowMs)}
        ${beforeId === "" ? on`` : on`AND newcomer_id < ${beforeId}`}
      ORDER BY newcomer_id DESC LIMIT ${limit}`;
    return rows.map((row) => Object.assign(newcomerOf(row), { inviter: row.inviter }));
  },

  lock: async (tx, newcomerId) => {
    const rows = await tx<Row[]>`
      SELECT * FROM newcomers WHERE email = (SELECT email FROM newcomers WHERE newcomer_id = ${newcomerId})
      ORDER BY newcomer_id FOR UPDATE`;
    const row = rows.find((each) => each.newcomer_id === newcomerId);
    return row && newcomerOf(row);
  },

  findInvited: async (on, { principal, requestId }, nowMs) => {
    if (requestId === "") return undefined;
    const [row] = await on<Row[]>`
      SELECT * FROM newcomers
      WHERE inviter = ${principal} AND inviter <> '' AND request_id = ${requestId} AND expire_time > ${new Date(nowMs)}`;
    return row && newcomerOf(row);
  },

  countInvited: async (on, nowMs, max) => {
    const [row] = await on<{ count: number }[]>`
      SELECT count(*)::int AS count FROM
        (SELECT 1 FROM newcomers WHERE inviter <> '' AND expire_time > ${new Date(nowMs)} LIMIT ${max}) AS invited`;
    return row?.count ?? 0;
  },

  countEarlier: async (on, { newcomerId, email, passwordHash }, sinceMs) => {
    const [row] = await on<{ count: number }[]>`
      SELECT count(*)::int AS count FROM newcomers
      WHERE email = ${email} AND newcomer_id < ${newcomerId} AND create_time > ${new Date(sinceMs)}
        AND (inviter <> '') = ${passwordHash === undefined}`;
    return row?.count ?? 0;
  },

  remove: async (tx, newcomerId) => {
    await tx`DELETE FROM newcomers WHERE newcomer_id = ${newcomerId}`;
  },

  removeByEmail: async (tx, email) => {
    await tx`DELETE FROM newcomers WHERE email = ${email}`;
  },

  prune: async (tx, nowMs, rowsMax) => {
    await tx`
      DELETE FROM newcomers WHERE newcomer_id IN
        (SELECT newcomer_id FROM newcomers WHERE expire_time <= ${new Date(nowMs)} LIMIT ${rowsMax})`;
  },
};

interface Row {
  readonly newcomer_id: string;
  readonly email: string;
  readonly display_name: string;
  readonly password_hash: string | null;
  readonly inviter: string;
  readonly create_time: Date;
  readonly expire_time: Date;
}

function newcomerOf(row: Row): Newcomer {
  return {
    newcomerId: row.newcomer_id,
    email: row.email,
    displayName: row.display_name,
    passwordHash: row.password_hash ?? undefined,
    createTimeMs: row.create_time.getTime(),
    expireTimeMs: row.expire_time.getTime(),
  };
}
