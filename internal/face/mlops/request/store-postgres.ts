import type { RequestStore } from "./store.ts";

/** Requests forgotten by one statement. */
const forgetMax = 1000;

/** The memory of requests in PostgreSQL. */
export const postgresRequestStore: RequestStore = {
  hold: async (tx, { principal, requestId }) => {
    await tx`SELECT pg_advisory_xact_lock(hashtextextended(${`request ${principal} ${requestId}`}, 0))`;
  },

  recall: async (sql, { principal, requestId, fingerprint }, nowMs) => {
    const [known] = await sql<{ fingerprint: Uint8Array; response: Uint8Array }[]>`
      SELECT fingerprint, response FROM request_memory
      WHERE principal = ${principal} AND request_id = ${requestId} AND expire_time > ${new Date(nowMs)}`;
    if (known === undefined) return undefined;
    return Buffer.from(known.fingerprint).equals(fingerprint) ? known.response : "reused";
  },

  remember: async (tx, { principal, requestId, fingerprint }, { enrolmentId, response, expireTimeMs }) => {
    await tx`
      INSERT INTO request_memory (principal, request_id, fingerprint, enrolment_id, response, expire_time)
      VALUES (${principal}, ${requestId}, ${fingerprint}, ${enrolmentId}, ${response}, ${new Date(expireTimeMs)})
      ON CONFLICT (principal, request_id) DO UPDATE SET fingerprint = excluded.fingerprint,
        enrolment_id = excluded.enrolment_id, response = excluded.response, expire_time = excluded.expire_time`;
  },

  forgetEnrolment: async (tx, enrolmentId) => {
    await tx`DELETE FROM request_memory WHERE enrolment_id = ${enrolmentId}`;
  },

  forgetPrincipal: async (tx, principal) => {
    await tx`DELETE FROM request_memory WHERE principal = ${principal}`;
  },

  forgetOld: async (sql, nowMs) => {
    for (let forgotten = forgetMax; forgotten === forgetMax;) {
      ({ count: forgotten } = await sql`
        DELETE FROM request_memory WHERE ctid IN (
          SELECT ctid FROM request_memory WHERE expire_time <= ${new Date(nowMs)} LIMIT ${forgetMax})`);
    }
  },
};
