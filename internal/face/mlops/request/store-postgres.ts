import type { RequestStore } from "./store.ts";

/** Requests forgotten by one statement. */
const forgetMax = 1000;

/** The memory of requests in PostgreSQL. */
export const postgresRequestStore: RequestStore = {
  hold: async (tx, { principal, requestId }) => {
    await tx`SELECT pg_advisory_xact_lock(hashtextextended(${`request ${principal} ${requestId}`}, 0))`;
  },

  recall: async (sql, { principal, requestId, fingerprint }, nowMs) => {
    const now = new Date(nowMs);
    // One statement: an erasure moves a request from one table to the other.
    const [known] = await sql<{ is_erased: boolean; fingerprint: Uint8Array; response: Uint8Array }[]>`
      SELECT true AS is_erased, ''::bytea AS fingerprint, ''::bytea AS response FROM erased_requests
      WHERE request_hash = ${hashOf(principal, requestId)} AND expire_time > ${now}
      UNION ALL
      SELECT false, fingerprint, response FROM request_memory
      WHERE principal = ${principal} AND request_id = ${requestId} AND expire_time > ${now}
      LIMIT 1`;
    if (known === undefined) return undefined;
    if (known.is_erased) return "erased";
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
    const forgotten = await tx<{ principal: string; request_id: string; expire_time: Date }[]>`
      DELETE FROM request_memory WHERE enrolment_id = ${enrolmentId} RETURNING principal, request_id, expire_time`;
    for (const request of forgotten) {
      await tx`
        INSERT INTO erased_requests (request_hash, expire_time)
        VALUES (${hashOf(request.principal, request.request_id)}, ${request.expire_time})
        ON CONFLICT (request_hash) DO UPDATE SET expire_time = excluded.expire_time`;
    }
  },

  forgetPrincipal: async (tx, principal) => {
    await tx`DELETE FROM request_memory WHERE principal = ${principal}`;
  },

  forgetOld: async (sql, nowMs) => {
    for (const table of ["request_memory", "erased_requests"]) {
      for (let forgotten = forgetMax; forgotten === forgetMax;) {
        ({ count: forgotten } = await sql`
          DELETE FROM ${sql(table)} WHERE ctid IN (
            SELECT ctid FROM ${sql(table)} WHERE expire_time <= ${new Date(nowMs)} LIMIT ${forgetMax})`);
      }
    }
  },
};

/** Tells a request from others without naming its caller. */
function hashOf(principal: string, requestId: string): Uint8Array {
  const named = JSON.stringify([principal, requestId]);
  return new Uint8Array(new Bun.CryptoHasher("sha256").update(named).digest());
}
