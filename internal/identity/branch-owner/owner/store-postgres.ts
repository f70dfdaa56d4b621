import type { Sql } from "../../../platform/postgres/database.ts";
import type { OwnerStore, StoredOwner } from "./store.ts";

interface OwnerRow {
  readonly user_id: string;
  readonly display_name: string;
  readonly company_name: string;
  readonly contact_email: string;
  readonly contact_phone_number: string;
  readonly version: string;
  readonly create_time: Date;
  readonly update_time: Date;
}

/** Owners in PostgreSQL. */
export const postgresOwnerStore: OwnerStore = {
  find,

  list: async (sql, after, limit) => {
    const rows = await sql<OwnerRow[]>`
      SELECT owners.*, display_name FROM owners JOIN people USING (user_id)
      WHERE user_id > ${after} AND status <> 'DELETED' ORDER BY user_id LIMIT ${limit}`;
    return rows.map(toOwner);
  },

  lock: async (tx, userId) => {
    await tx`SELECT FROM owners WHERE user_id = ${userId} FOR UPDATE`;
    return find(tx, userId); // A second look, which sees what those did who held the lock before.
  },

  add: async (tx, owner) => {
    const { count } = await tx`
      INSERT INTO owners (user_id, company_name, contact_email, contact_phone_number, version, create_time, update_time)
      VALUES (${owner.userId}, ${owner.companyName}, ${owner.contactEmail}, ${owner.contactPhoneNumber}, ${owner.version},
        ${new Date(owner.createTimeMs)}, ${new Date(owner.updateTimeMs)})
      ON CONFLICT DO NOTHING`;
    return count > 0;
  },

  save: async (tx, owner) => {
    await tx`
      UPDATE owners SET company_name = ${owner.companyName}, contact_email = ${owner.contactEmail},
        contact_phone_number = ${owner.contactPhoneNumber}, version = ${owner.version},
        update_time = ${new Date(owner.updateTimeMs)}
      WHERE user_id = ${owner.userId}`;
  },

  erase: async (tx, userId, nowMs) => {
    await tx`
      UPDATE owners SET company_name = '', contact_email = '', contact_phone_number = '', version = version + 1,
        update_time = ${new Date(nowMs)}
      WHERE user_id = ${userId}`;
  },
};

async function find(sql: Sql, userId: string): Promise<StoredOwner | undefined> {
  const [row] = await sql<OwnerRow[]>`
    SELECT owners.*, display_name FROM owners JOIN people USING (user_id)
    WHERE user_id = ${userId} AND status <> 'DELETED'`;
  return row && toOwner(row);
}

function toOwner(row: OwnerRow): StoredOwner {
  return {
    userId: row.user_id,
    displayName: row.display_name,
    companyName: row.company_name,
    contactEmail: row.contact_email,
    contactPhoneNumber: row.contact_phone_number,
    version: Number(row.version),
    createTimeMs: row.create_time.getTime(),
    updateTimeMs: row.update_time.getTime(),
  };
}
