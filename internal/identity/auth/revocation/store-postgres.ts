import type { Ended, RevocationStore } from "./store.ts";

/** What ended in PostgreSQL, as the tables of sessions, devices, bootstrap secrets and entry passes say. */
export const postgresRevocationStore: RevocationStore = {
  sessions: async (on, { sinceMs, after, limit }) => {
    const rows = await on<Row[]>`
      SELECT session_id::text AS id, version, greatest(end_time, use_time) AS time FROM sessions
      WHERE end_time IS NOT NULL AND greatest(end_time, use_time) >= ${new Date(sinceMs)} ${after === "" ? on`` : on`AND session_id > ${after}::uuid`}
      ORDER BY sessions.session_id LIMIT ${limit}`;
    return rows.map(endedOf);
  },

  devices: async (on, { sinceMs, after, limit }) => {
    const rows = await on<Row[]>`
      SELECT device_id::text AS id, version, revoke_time AS time FROM devices
      WHERE revoke_time >= ${new Date(sinceMs)} ${after === "" ? on`` : on`AND device_id > ${after}::uuid`}
      ORDER BY devices.device_id LIMIT ${limit}`;
    return rows.map(endedOf);
  },

  services: async (on, { sinceMs, after, limit }) => {
    const rows = await on<Row[]>`
      SELECT service_name AS id, version, withdraw_time AS time FROM bootstrap_secrets
      WHERE withdraw_time >= ${new Date(sinceMs)} AND service_name > ${after}
      ORDER BY service_name LIMIT ${limit}`;
    return rows.map(endedOf);
  },

  passes: async (on, { sinceMs, after, limit }) => {
    const rows = await on<Row[]>`
      SELECT entry_pass_id::text AS id, version, revoke_time AS time, expire_time FROM entry_passes
      WHERE revoke_time IS NOT NULL AND expire_time >= ${new Date(sinceMs)} ${after === "" ? on`` : on`AND entry_pass_id > ${after}::uuid`}
      ORDER BY entry_passes.entry_pass_id LIMIT ${limit}`;
    return rows.map(endedOf);
  },
};

interface Row {
  readonly id: string;
  readonly version: string;
  readonly time: Date;
  /** Of a pass. */
  readonly expire_time?: Date;
}

function endedOf({ id, version, time, expire_time: expireTime }: Row): Ended {
  const ended = { id, version: BigInt(version), timeMs: time.getTime() };
  return expireTime === undefined ? ended : { ...ended, expireTimeMs: expireTime.getTime() };
}
