import type { EntryPassStore, IssuedPass } from "./store.ts";

/** Entry passes in PostgreSQL. */
export const postgresEntryPassStore: EntryPassStore = {
  insert: async (tx, { passId, userId, branchId, issueTimeMs, expireTimeMs }) => {
    await tx`
      INSERT INTO entry_passes (entry_pass_id, user_id, branch_id, version, issue_time, expire_time)
      VALUES (${passId}, ${userId}, ${branchId}, 1, ${new Date(issueTimeMs)}, ${new Date(expireTimeMs)})`;
  },

  count: async (tx, userId, nowMs) => {
    const [row] = await tx<[{ unended: number; alive: number }]>`
      SELECT count(*)::int AS unended, count(*) FILTER (WHERE revoke_time IS NULL)::int AS alive
      FROM entry_passes WHERE user_id = ${userId} AND expire_time > ${new Date(nowMs)}`;
    return row;
  },

  lock: async (tx, passId) => {
    const [row] = await tx<Row[]>`SELECT * FROM entry_passes WHERE entry_pass_id = ${passId} FOR UPDATE`;
    return row && passOf(row);
  },

  lockAlive: async (tx, userId, nowMs) => {
    const rows = await tx<Row[]>`
      SELECT * FROM entry_passes
      WHERE user_id = ${userId} AND expire_time > ${new Date(nowMs)} AND revoke_time IS NULL
      ORDER BY entry_pass_id FOR UPDATE`;
    return rows.map(passOf);
  },

  revoke: async (tx, passId, nowMs) => {
    const [row] = await tx<{ version: string }[]>`
      UPDATE entry_passes SET revoke_time = ${new Date(nowMs)}, version = version + 1
      WHERE entry_pass_id = ${passId} RETURNING version`;
    return BigInt(row?.version ?? 0);
  },

  listOfPerson: async (on, userId, limit) => {
    const rows = await on<Row[]>`
      SELECT * FROM entry_passes WHERE user_id = ${userId} ORDER BY entry_pass_id DESC LIMIT ${limit}`;
    return rows.map(passOf);
  },

  prune: async (tx, endedBeforeMs, rowsMax) => {
    await tx`
      DELETE FROM entry_passes WHERE entry_pass_id IN
        (SELECT entry_pass_id FROM entry_passes WHERE expire_time < ${new Date(endedBeforeMs)} LIMIT ${rowsMax})`;
  },
};

interface Row {
  readonly entry_pass_id: string;
  readonly user_id: string | null;
  readonly branch_id: string;
  readonly issue_time: Date;
  readonly expire_time: Date;
  readonly revoke_time: Date | null;
}

function passOf(row: Row): IssuedPass {
  return {
    passId: row.entry_pass_id,
    userId: row.user_id ?? undefined,
    branchId: row.branch_id,
    issueTimeMs: row.issue_time.getTime(),
    expireTimeMs: row.expire_time.getTime(),
    revokeTimeMs: row.revoke_time?.getTime(),
  };
}
