import type { BootstrapSecret, BootstrapStore } from "./store.ts";

/** Bootstrap secrets in PostgreSQL. */
export const postgresBootstrapStore: BootstrapStore = {
  lock: async (tx, serviceName) => {
    const [row] = await tx<Row[]>`SELECT * FROM bootstrap_secrets WHERE service_name = ${serviceName} FOR UPDATE`;
    return row && secretOf(row);
  },

  lockByHash: async (tx, secretHash) => {
    const [row] = await tx<Row[]>`SELECT * FROM bootstrap_secrets WHERE secret_hash = ${secretHash} FOR UPDATE`;
    return row && secretOf(row);
  },

  put: async (tx, serviceName, secretHash, nowMs) => {
    await tx`
      INSERT INTO bootstrap_secrets AS b (service_name, secret_hash, version, issue_time)
      VALUES (${serviceName}, ${secretHash}, 1, ${new Date(nowMs)})
      ON CONFLICT (service_name) DO UPDATE SET secret_hash = excluded.secret_hash, version = b.version + 1,
        issue_time = greatest(b.issue_time, excluded.issue_time),
        renew_time = CASE WHEN b.renew_time > excluded.issue_time THEN b.renew_time END`;
  },

  markRenewed: async (tx, serviceName, nowMs) => {
    await tx`
      INSERT INTO bootstrap_secrets AS b (service_name, version, issue_time, renew_time)
      VALUES (${serviceName}, 1, ${new Date(nowMs)}, ${new Date(nowMs)})
      ON CONFLICT (service_name) DO UPDATE SET renew_time = greatest(b.renew_time, excluded.renew_time)`;
  },

  withdraw: async (tx, serviceName, nowMs) => {
    const [row] = await tx<{ version: string }[]>`
      UPDATE bootstrap_secrets SET secret_hash = NULL, version = version + 1, withdraw_time = ${new Date(nowMs)}
      WHERE service_name = ${serviceName} RETURNING version`;
    return BigInt(row?.version ?? 0);
  },

  list: async (on) => {
    const rows = await on<Row[]>`
      SELECT * FROM bootstrap_secrets WHERE secret_hash IS NOT NULL OR withdraw_time IS NOT NULL ORDER BY service_name`;
    return rows.map(secretOf);
  },
};

interface Row {
  readonly service_name: string;
  readonly secret_hash: Uint8Array | null;
  readonly version: string;
  readonly issue_time: Date;
  readonly renew_time: Date | null;
  readonly withdraw_time: Date | null;
}

function secretOf(row: Row): BootstrapSecret {
  return {
    serviceName: row.service_name,
    secretHash: row.secret_hash ?? undefined,
    version: BigInt(row.version),
    issueTimeMs: row.issue_time.getTime(),
    renewTimeMs: row.renew_time?.getTime(),
    withdrawTimeMs: row.withdraw_time?.getTime(),
  };
}
