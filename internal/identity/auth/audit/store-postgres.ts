import type { AuditRecord, AuditStore } from "./store.ts";

const detailCharsMax = 512;

/** The audit log in PostgreSQL. */
export const postgresAuditStore: AuditStore = {
  append: async (on, { action, outcome, client, principal, subject, detail }, nowMs) => {
    await on`
      INSERT INTO audit_log (create_time, action, outcome, principal, subject, address, user_agent, detail)
      VALUES (${new Date(nowMs)}, ${action}, ${outcome}, ${principal ?? client.principal}, ${subject},
        ${client.address}, ${client.userAgent}, ${(detail ?? "").slice(0, detailCharsMax)})`;
  },

  appendEach: async (on, { action, outcome, client, principal, detail }, subjects, nowMs) => {
    await on`
      INSERT INTO audit_log (create_time, action, outcome, principal, subject, address, user_agent, detail)
      SELECT ${new Date(nowMs)}::timestamptz, ${action}, ${outcome}, ${principal ?? client.principal}, subject,
        ${client.address}, ${client.userAgent}, ${(detail ?? "").slice(0, detailCharsMax)}
      FROM unnest(${[...subjects]}::text[]) AS subject`;
  },

  list: async (on, { principal, subject, action, outcome, fromMs, untilMs }, beforeId, limit) => {
    const rows = await on<Row[]>`
      SELECT * FROM audit_log WHERE TRUE
        ${principal === undefined ? on`` : on`AND principal = ${principal}`}
        ${subject === undefined ? on`` : on`AND subject = ${subject}`}
        ${action === undefined ? on`` : on`AND action = ${action}`}
        ${outcome === undefined ? on`` : on`AND outcome = ${outcome}`}
        ${fromMs === undefined ? on`` : on`AND create_time >= ${new Date(fromMs)}`}
        ${untilMs === undefined ? on`` : on`AND create_time < ${new Date(untilMs)}`}
        ${beforeId === "" ? on`` : on`AND audit_id < ${beforeId}`}
      ORDER BY audit_id DESC LIMIT ${limit}`;
    return rows.map(recordOf);
  },

  listOfPerson: async (on, userId, limit) => {
    const principal = `person:${userId}`;
    const rows = await on<Row[]>`
      SELECT audit_id, create_time, action, outcome, principal, subject, detail,
        CASE principal WHEN ${principal} THEN address ELSE '' END AS address,
        CASE principal WHEN ${principal} THEN user_agent ELSE '' END AS user_agent
      FROM audit_log WHERE principal = ${principal} OR subject = ${principal}
      ORDER BY audit_id DESC LIMIT ${limit}`;
    return rows.map(recordOf);
  },

  blank: async (tx, userId, emailSubject) => {
    await tx`
      UPDATE audit_log SET address = '', user_agent = ''
      WHERE principal = ${`person:${userId}`} OR subject = ${emailSubject}`;
  },

  prune: async (tx, retentionDays, rowsMax) => {
    await tx`SELECT audit_log_make_month(now() + n * INTERVAL '28 days') FROM generate_series(0, 2) AS n`;
    await tx`SELECT audit_log_drop_months(${retentionDays})`;
    await tx`
      DELETE FROM audit_log_rest WHERE (audit_id, create_time) IN
        (SELECT audit_id, create_time FROM audit_log_rest WHERE create_time < now() - make_interval(days => ${retentionDays})
          LIMIT ${rowsMax})`;
  },
};

interface Row {
  readonly audit_id: string;
  readonly create_time: Date;
  readonly action: string;
  readonly outcome: "DONE" | "REFUSED";
  readonly principal: string;
  readonly subject: string;
  readonly address: string;
  readonly user_agent: string;
  readonly detail: string;
}

function recordOf(row: Row): AuditRecord {
  return {
    auditId: row.audit_id,
    createTimeMs: row.create_time.getTime(),
    action: row.action,
    outcome: row.outcome,
    principal: row.principal,
    subject: row.subject,
    address: row.address,
    userAgent: row.user_agent,
    detail: row.detail,
  };
}
