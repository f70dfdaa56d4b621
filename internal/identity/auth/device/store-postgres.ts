import type { Sql } from "../../../platform/postgres/database.ts";
import type { Device, DeviceStore } from "./store.ts";

/** Devices and copies of branches in PostgreSQL. */
export const postgresDeviceStore: DeviceStore = {
  insert: async (tx, { deviceId, displayName, branchIds, activationHash, activationExpireTimeMs, createTimeMs }) => {
    const [row] = await tx<[Row]>`
      INSERT INTO devices
        (device_id, display_name, branch_ids, activation_hash, activation_expire_time, version, create_time)
      VALUES (${deviceId}, ${displayName}, ${[...branchIds]}::text[], ${activationHash},
        ${new Date(activationExpireTimeMs)}, 1, ${new Date(createTimeMs)})
      RETURNING *`;
    return deviceOf(row);
  },

  countLive: async (tx) => {
    const [row] = await tx<{ count: number }[]>`
      SELECT count(*)::int AS count FROM devices WHERE revoke_time IS NULL`;
    return row?.count ?? 0;
  },

  lockByCode: async (tx, activationHash, nowMs) => {
    const [row] = await tx<Row[]>`
      SELECT * FROM devices WHERE activation_hash = ${activationHash} AND revoke_time IS NULL
        AND activation_expire_time > ${new Date(nowMs)} FOR UPDATE`;
    return row && deviceOf(row);
  },

  lock: async (tx, deviceId) => {
    const [row] = await tx<Row[]>`SELECT * FROM devices WHERE device_id = ${deviceId} FOR UPDATE`;
    return row && deviceOf(row);
  },

  lockOfOwner: async (tx, ownerId) => {
    const rows = await tx<{ device_id: string }[]>`
      SELECT device_id FROM devices WHERE revoke_time IS NULL AND branch_ids <@ ${branchesOf(tx, ownerId)}
      ORDER BY device_id FOR UPDATE`;
    return rows.map((row) => row.device_id);
  },

  findLive: async (on, deviceId) => {
    const [row] = await on<Row[]>`SELECT * FROM devices WHERE device_id = ${deviceId} AND revoke_time IS NULL`;
    return row && deviceOf(row);
  },

  hasKey: async (tx, publicKey) => {
    const rows = await tx`SELECT 1 FROM devices WHERE public_key = ${publicKey}`;
    return rows.length > 0;
  },

  activate: async (tx, deviceId, publicKey, nowMs) => {
    const [row] = await tx<Row[]>`
      UPDATE devices SET public_key = ${publicKey}, activate_time = ${new Date(nowMs)}, version = version + 1
      WHERE device_id = ${deviceId} RETURNING *`;
    return row && deviceOf(row);
  },

  markToken: async (tx, deviceId, nowMs) => {
    const rows = await tx`
      UPDATE devices SET token_time = ${new Date(nowMs)} WHERE device_id = ${deviceId} AND revoke_time IS NULL
      RETURNING device_id`;
    return rows.length > 0;
  },

  revoke: async (tx, deviceId, nowMs) => {
    const [row] = await tx<{ version: string }[]>`
      UPDATE devices SET revoke_time = ${new Date(nowMs)}, version = version + 1
      WHERE device_id = ${deviceId} RETURNING version`;
    return BigInt(row?.version ?? 0);
  },

  list: async (on, { ownerId, branchId, withRevoked, beforeId }, limit) => {
    const rows = await on<Row[]>`
      SELECT * FROM devices WHERE (${withRevoked} OR revoke_time IS NULL)
        ${ownerId === undefined ? on`` : on`AND branch_ids <@ ${branchesOf(on, ownerId)}`}
        ${branchId === "" ? on`` : on`AND ${branchId} = ANY (branch_ids)`}
        ${beforeId === "" ? on`` : on`AND device_id < ${beforeId}`}
      ORDER BY device_id DESC LIMIT ${limit}`;
    return rows.map(deviceOf);
  },

  prune: async (tx, { unusedBeforeMs, revokedBeforeMs }, rowsMax) => {
    await tx`
      DELETE FROM devices WHERE device_id IN
        (SELECT device_id FROM devices
          WHERE (activate_time IS NULL AND activation_expire_time < ${new Date(unusedBeforeMs)})
            OR revoke_time < ${new Date(revokedBeforeMs)} LIMIT ${rowsMax})`;
  },

  putBranch: async (tx, { branchId, ownerId, version }) => {
    await tx`
      INSERT INTO branches AS b (branch_id, owner_id, epoch, version)
      VALUES (${branchId}, ${ownerId}, ${version.epoch}, ${version.version.toString()})
      ON CONFLICT (branch_id) DO UPDATE
        SET owner_id = excluded.owner_id, epoch = excluded.epoch, version = excluded.version
      WHERE (b.epoch, b.version) < (excluded.epoch, excluded.version)`;
  },

  ownersOf: async (tx, branchIds) => {
    const rows = await tx<{ branch_id: string; owner_id: string }[]>`
      SELECT branch_id, owner_id FROM branches WHERE branch_id = ANY (${[...branchIds]}::text[])`;
    return new Map(rows.map((row) => [row.branch_id, row.owner_id]));
  },
};

/** The ids of all branches of an owner, as an array. */
function branchesOf(on: Sql, ownerId: string) {
  return on`(SELECT COALESCE(array_agg(branch_id), '{}') FROM branches WHERE owner_id = ${ownerId})`;
}

interface Row {
  readonly device_id: string;
  readonly display_name: string;
  readonly branch_ids: string[];
  readonly public_key: Uint8Array | null;
  readonly create_time: Date;
  readonly activate_time: Date | null;
  readonly token_time: Date | null;
  readonly revoke_time: Date | null;
}

function deviceOf(row: Row): Device {
  return {
    deviceId: row.device_id,
    displayName: row.display_name,
    branchIds: row.branch_ids,
    publicKey: row.public_key ?? undefined,
    createTimeMs: row.create_time.getTime(),
    activateTimeMs: row.activate_time?.getTime(),
    tokenTimeMs: row.token_time?.getTime(),
    revokeTimeMs: row.revoke_time?.getTime(),
  };
}
