import type { MailKind, MailStore, TokenOwner } from "./store.ts";

/** Mails and their tokens in PostgreSQL. */
export const postgresMailStore: MailStore = {
  add: async (on, { mailId, kind, email, nowMs }, waitingMax) => {
    const now = new Date(nowMs);
    const rows = await on`
      INSERT INTO outgoing_mails (mail_id, kind, user_id, newcomer_id, attempts, next_time, create_time)
      SELECT ${mailId}, ${kind}, (SELECT user_id FROM accounts WHERE email = ${email}),
        (SELECT newcomer_id FROM newcomers WHERE email = ${email} AND inviter = '' ORDER BY newcomer_id LIMIT 1),
        0, ${now}, ${now}
      WHERE (SELECT count(*) FROM (SELECT 1 FROM outgoing_mails LIMIT ${waitingMax}) AS waiting) < ${waitingMax}
      RETURNING mail_id`;
    return rows.length > 0;
  },

  addToNewcomer: async (on, { mailId, kind, newcomerId, nowMs }, waitingMax) => {
    const now = new Date(nowMs);
    const rows = await on`
      INSERT INTO outgoing_mails (mail_id, kind, newcomer_id, attempts, next_time, create_time)
      SELECT ${mailId}, ${kind}, ${newcomerId}, 0, ${now}, ${now}
      WHERE (SELECT count(*) FROM (SELECT 1 FROM outgoing_mails LIMIT ${waitingMax}) AS waiting) < ${waitingMax}
      RETURNING mail_id`;
    return rows.length > 0;
  },

  lockDue: async (tx, { nowMs, latestMs }, limit) => {
    const rows = await tx<Row[]>`
      SELECT mail_id, kind, user_id, newcomer_id, attempts, create_time FROM outgoing_mails
      WHERE next_time <= ${new Date(nowMs)} OR next_time > ${new Date(latestMs)}
      ORDER BY next_time LIMIT ${limit} FOR UPDATE SKIP LOCKED`;
    return rows.map((row) => ({
      mailId: row.mail_id,
      kind: row.kind,
      userId: row.user_id ?? undefined,
      newcomerId: row.newcomer_id ?? undefined,
      attempts: row.attempts,
      createTimeMs: row.create_time.getTime(),
    }));
  },

  postpone: async (tx, mailId, nextMs) => {
    await tx`
      UPDATE outgoing_mails SET attempts = attempts + 1, next_time = ${new Date(nextMs)} WHERE mail_id = ${mailId}`;
  },

  remove: async (on, mailId) => {
    await on`DELETE FROM outgoing_mails WHERE mail_id = ${mailId}`;
  },

  count: async (on) => {
    const [row] = await on<{ count: number }[]>`SELECT count(*)::int AS count FROM outgoing_mails`;
    return row?.count ?? 0;
  },

  removeOfPerson: async (tx, userId) => {
    await tx`DELETE FROM outgoing_mails WHERE user_id = ${userId}`;
  },

  recentTokens: async (tx, { owner: { userId = null, newcomerId = null }, kind, tokenHash }, { sinceMs, untilMs }) => {
    const [row] = await tx<{ count: number; is_known: boolean }[]>`
      SELECT count(*)::int AS count, COALESCE(bool_or(token_hash = ${tokenHash}), FALSE) AS is_known FROM mail_tokens
      WHERE (user_id = ${userId} OR newcomer_id = ${newcomerId}) AND kind = ${kind}
        AND create_time > ${new Date(sinceMs)} AND create_time <= ${new Date(untilMs)}`;
    return { count: row?.count ?? 0, isKnown: row?.is_known === true };
  },

  addToken: async (tx, { owner: { userId = null, newcomerId = null }, kind, tokenHash }, { nowMs, expireTimeMs }) => {
    await tx`
      INSERT INTO mail_tokens (token_hash, kind, user_id, newcomer_id, create_time, expire_time)
      VALUES (${tokenHash}, ${kind}, ${userId}, ${newcomerId}, ${new Date(nowMs)}, ${new Date(expireTimeMs)})
      ON CONFLICT DO NOTHING`;
  },

  findToken: async (on, kind, tokenHash, nowMs) => {
    const [row] = await on<Pick<Row, "user_id" | "newcomer_id">[]>`
      SELECT user_id, newcomer_id FROM mail_tokens
      WHERE token_hash = ${tokenHash} AND kind = ${kind} AND expire_time > ${new Date(nowMs)}`;
    return row && ownerOf(row);
  },

  takeToken: async (tx, kind, tokenHash) => {
    const rows = await tx`
      DELETE FROM mail_tokens WHERE token_hash = ${tokenHash} AND kind = ${kind} RETURNING kind`;
    return rows.length > 0;
  },

  endTokens: async (tx, kind, userId) => {
    await tx`DELETE FROM mail_tokens WHERE user_id = ${userId} AND kind = ${kind}`;
    await tx`DELETE FROM outgoing_mails WHERE user_id = ${userId} AND kind = ${kind}`;
  },

  prune: async (tx, beforeMs, rowsMax) => {
    await tx`
      DELETE FROM mail_tokens WHERE token_hash IN
        (SELECT token_hash FROM mail_tokens WHERE expire_time < ${new Date(beforeMs)} LIMIT ${rowsMax})`;
  },
};

interface Row {
  readonly mail_id: string;
  readonly kind: MailKind;
  readonly user_id: string | null;
  readonly newcomer_id: string | null;
  readonly attempts: number;
  readonly create_time: Date;
}

function ownerOf({ user_id, newcomer_id }: Pick<Row, "user_id" | "newcomer_id">): TokenOwner | undefined {
  if (user_id !== null) return { userId: user_id };
  return newcomer_id === null ? undefined : { newcomerId: newcomer_id };
}
