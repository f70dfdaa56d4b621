import type { Account, AccountStore } from "./store.ts";

/** Accounts in PostgreSQL. */
export const postgresAccountStore: AccountStore = {
  insert: async (tx, { userId, email, displayName, passwordHash, role, createTimeMs }) => {
    const now = new Date(createTimeMs);
    const inserted = await tx`
      INSERT INTO accounts
        (user_id, email, display_name, password_hash, sign_up_roles, version, create_time, update_time, email_verify_time)
      VALUES (${userId}, ${email}, ${displayName}, ${passwordHash}, ${[role]}::text[], 1, ${now}, ${now}, ${now})
      ON CONFLICT (email) DO NOTHING RETURNING user_id`;
    if (inserted.length === 0) return false;
    await tx`INSERT INTO role_assignments (user_id, role, create_time) VALUES (${userId}, ${role}, ${now})`;
    return true;
  },

  findByEmail: async (on, email) => {
    const [row] = await on<Row[]>`SELECT * FROM accounts WHERE email = ${email}`;
    return row && accountOf(row);
  },

  find: async (on, userId) => {
    const [row] = await on<Row[]>`SELECT * FROM accounts WHERE user_id = ${userId}`;
    return row && accountOf(row);
  },

  lock: async (tx, userId) => {
    const [row] = await tx<Row[]>`SELECT * FROM accounts WHERE user_id = ${userId} FOR UPDATE`;
    return row && accountOf(row);
  },

  hold: async (tx, userId) => {
    const rows = await tx`SELECT 1 FROM accounts WHERE user_id = ${userId} FOR SHARE`;
    return rows.length > 0;
  },

  setPasswordHash: async (tx, userId, passwordHash, nowMs) => {
    await tx`
      UPDATE accounts SET password_hash = ${passwordHash},
        update_time = COALESCE(${nowMs === undefined ? null : new Date(nowMs)}::timestamptz, update_time)
      WHERE user_id = ${userId}`;
  },

  verifyEmail: async (tx, userId, nowMs) => {
    await tx`
      UPDATE accounts SET email_verify_time = COALESCE(email_verify_time, ${new Date(nowMs)})
      WHERE user_id = ${userId}`;
  },

  lapsed: async (on, nowMs, after, limit) => {
    const rows = await on<{ user_id: string }[]>`
      SELECT user_id FROM accounts WHERE email_verify_time IS NULL AND prove_by_time <= ${new Date(nowMs)}
        ${after === "" ? on`` : on`AND user_id > ${after}`} ORDER BY user_id LIMIT ${limit}`;
    return rows.map((row) => row.user_id);
  },

  setStatus: async (tx, userId, isSuspended, version) => {
    await tx`
      UPDATE accounts SET status = ${isSuspended ? "SUSPENDED" : "ACTIVE"}, status_epoch = ${version.epoch},
        status_version = ${version.version.toString()}
      WHERE user_id = ${userId}`;
  },

  raiseRolesVersion: async (tx, userId, { epoch, version }) => {
    const rows = await tx`
      UPDATE accounts SET roles_epoch = ${epoch}, roles_version = ${version.toString()}
      WHERE user_id = ${userId} AND (roles_epoch, roles_version) < (${epoch}, ${version.toString()}) RETURNING user_id`;
    return rows.length > 0;
  },

  remove: async (tx, userId) => {
    await tx`DELETE FROM accounts WHERE user_id = ${userId}`;
  },

  ids: async (on, after, limit) => {
    const rows = await on<{ user_id: string }[]>`
      SELECT user_id FROM accounts ${after === "" ? on`` : on`WHERE user_id > ${after}`} ORDER BY user_id LIMIT ${limit}`;
    return rows.map((row) => row.user_id);
  },

  lockAll: async (tx, userIds) => {
    const rows = await tx<Row[]>`
      SELECT * FROM accounts WHERE user_id = ANY(${[...userIds]}::uuid[]) ORDER BY user_id FOR UPDATE`;
    return rows.map(accountOf);
  },
};

interface Row {
  readonly user_id: string;
  readonly email: string;
  readonly display_name: string;
  readonly password_hash: string;
  readonly status: "ACTIVE" | "SUSPENDED";
  readonly status_epoch: string;
  readonly status_version: string;
  readonly email_verify_time: Date | null;
  readonly prove_by_time: Date | null;
  readonly create_time: Date;
  readonly version: string;
  readonly sign_up_roles: string[];
}

function accountOf(row: Row): Account {
  return {
    userId: row.user_id,
    email: row.email,
    displayName: row.display_name,
    passwordHash: row.password_hash,
    isSuspended: row.status === "SUSPENDED",
    isEmailVerified: row.email_verify_time !== null,
    emailVerifyTimeMs: row.email_verify_time?.getTime(),
    proveByTimeMs: row.prove_by_time?.getTime(),
    createTimeMs: row.create_time.getTime(),
    version: BigInt(row.version),
    signUpRoles: row.sign_up_roles,
    statusVersion: { epoch: Number(row.status_epoch), version: BigInt(row.status_version) },
  };
}
