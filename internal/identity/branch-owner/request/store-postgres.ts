import type { RequestStore } from "./store.ts";

/** Requests forgotten by one statement. */
const forgetMax = 1000;

/** The memory of requests in PostgreSQL. */
export const postgresRequestStore: RequestStore = {
  recall: async (tx, { principal, requestId, fingerprint }, nowMs) => {
    await tx`SELECT pg_advisory_xact_lock(hashtextextended(${`${principal} ${requestId}`}, 0))`;
    const [known] = await tx<{ fingerprint: Uint8Array; response: Uint8Array }[]>`
      SELECT fingerprint, response FROM request_memory
      WHERE principal = ${principal} AND request_id = ${requestId} AND expire_time > ${new Date(nowMs)}`;
    if (known === undefined) return undefined;
    return Buffer.from(known.fingerprint).equals(fingerprint) ? known.response : "reused";
  },

  remember: async (tx, { principal, requestId, fingerprint }, reply, expireTimeMs) => {
    await tx`
      INSERT INTO request_memory (principal, request_id, fingerprint, response, expire_time)
      VALUES (${principal}, ${requestId}, ${fingerprint}, ${reply}, ${new Date(expireTimeMs)})
      ON CONFLICT (principal, request_id) DO UPDATE SET fingerprint = excluded.fingerprint,
        response = excluded.response, expire_time = excluded.expire_time`;
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
