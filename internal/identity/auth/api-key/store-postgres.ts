import type { ApiKey, ApiKeyStore } from "./store.ts";

/** API keys in PostgreSQL. */
export const postgresApiKeyStore: ApiKeyStore = {
  insert: async (tx, key) => {
    const { apiKeyId, ownerId, displayName, scopes, secretHash, managedName, createTimeMs, expireTimeMs } = key;
    const [row] = await tx<[Row]>`
      INSERT INTO api_keys
        (api_key_id, owner_id, display_name, scopes, secret_hash, managed_name, version, create_time, expire_time)
      VALUES (${apiKeyId}, ${ownerId}, ${displayName}, ${[...scopes]}::text[], ${secretHash}, ${managedName ?? null}, 1,
        ${new Date(createTimeMs)}, ${expireTimeMs === undefined ? null : new Date(expireTimeMs)})
      RETURNING *`;
    return apiKeyOf(row);
  },

  countLive: async (tx, nowMs) => {
    const [row] = await tx<{ count: number }[]>`
      SELECT count(*)::int AS count FROM api_keys
      WHERE revoke_time IS NULL AND (expire_time IS NULL OR expire_time > ${new Date(nowMs)})`;
    return row?.count ?? 0;
  },

  list: async (on, { beforeId, withEnded, nowMs }, limit) => {
    const rows = await on<Row[]>`
      SELECT * FROM api_keys
      WHERE (${withEnded} OR (revoke_time IS NULL AND (expire_time IS NULL OR expire_time > ${new Date(nowMs)})))
        ${beforeId === "" ? on`` : on`AND api_key_id < ${beforeId}`}
      ORDER BY api_key_id DESC LIMIT ${limit}`;
    return rows.map(apiKeyOf);
  },

  listOfOwner: async (on, ownerId, limit) => {
    const rows = await on<Row[]>`
      SELECT * FROM api_keys WHERE owner_id = ${ownerId} ORDER BY api_key_id DESC LIMIT ${limit}`;
    return rows.map(apiKeyOf);
  },

  ownerOf: async (on, apiKeyId) => {
    const [row] = await on<{ owner_id: string }[]>`SELECT owner_id FROM api_keys WHERE api_key_id = ${apiKeyId}`;
    return row?.owner_id;
  },

  findBySecretHash: async (on, secretHash) => {
    const [row] = await on<Row[]>`SELECT * FROM api_keys WHERE secret_hash = ${secretHash}`;
    return row && apiKeyOf(row);
  },

  lock: async (tx, apiKeyId) => {
    const [row] = await tx<Row[]>`SELECT * FROM api_keys WHERE api_key_id = ${apiKeyId} FOR UPDATE`;
    return row && apiKeyOf(row);
  },

  lockOfOwner: async (tx, ownerId) => {
    const rows = await tx<{ api_key_id: string }[]>`
      SELECT api_key_id FROM api_keys WHERE owner_id = ${ownerId} AND revoke_time IS NULL ORDER BY api_key_id FOR UPDATE`;
    return rows.map(({ api_key_id: apiKeyId }) => apiKeyId);
  },

  lockManaged: async (tx, managedName) => {
    const [row] = await tx<Row[]>`
      SELECT * FROM api_keys WHERE managed_name = ${managedName} AND revoke_time IS NULL FOR UPDATE`;
    return row && { ...apiKeyOf(row), secretHash: row.secret_hash };
  },

  revoke: async (tx, apiKeyId, nowMs) => {
    const [row] = await tx<{ version: string }[]>`
      UPDATE api_keys SET revoke_time = ${new Date(nowMs)}, version = version + 1
      WHERE api_key_id = ${apiKeyId} RETURNING version`;
    return BigInt(row?.version ?? 0);
  },

  markUsed: async (on, apiKeyId, useTimeMs) => {
    await on`
      UPDATE api_keys SET use_time = GREATEST(use_time, ${new Date(useTimeMs)}) WHERE api_key_id = ${apiKeyId}`;
  },

  prune: async (tx, beforeMs, rowsMax) => {
    const before = new Date(beforeMs);
    await tx`
      DELETE FROM api_keys WHERE api_key_id IN
        (SELECT api_key_id FROM api_keys WHERE revoke_time < ${before} OR expire_time < ${before} LIMIT ${rowsMax})`;
  },
};

interface Row {
  readonly api_key_id: string;
  readonly owner_id: string;
  readonly display_name: string;
  readonly scopes: string[];
  readonly secret_hash: Uint8Array;
  readonly create_time: Date;
  readonly expire_time: Date | null;
  readonly use_time: Date | null;
  readonly revoke_time: Date | null;
}

function apiKeyOf(row: Row): ApiKey {
  return {
    apiKeyId: row.api_key_id,
    ownerId: row.owner_id,
    displayName: row.display_name,
    scopes: row.scopes,
    createTimeMs: row.create_time.getTime(),
    expireTimeMs: row.expire_time?.getTime(),
    useTimeMs: row.use_time?.getTime(),
    revokeTimeMs: row.revoke_time?.getTime(),
  };
}
