import type { Clock } from "../../platform/clock/clock.ts";
import type { Database, Transaction } from "../../platform/postgres/database.ts";
import { noPreferences, type PreferencesRecord } from "./preferences.ts";
import type { Announce, ErasureRecord, UserStore } from "./store.ts";
import { afterChange, isUserId, type AssignedRole, type StatusName, type UserRecord } from "./user.ts";

/** Held while a change might take the last administrator away. */
const administratorsLock = "muin user administrators";

interface UserRow {
  readonly user_id: string;
  readonly email: string;
  readonly display_name: string;
  readonly locale: string;
  readonly time_zone: string;
  readonly phone_number: string;
  readonly picture_uri: string;
  readonly status: StatusName;
  readonly suspend_reason: string;
  readonly plan: string | null;
  readonly from_time: Date | null;
  readonly until_time: Date | null;
  readonly paused: boolean;
  readonly version: string;
  readonly version_time: Date;
  readonly status_version: string;
  readonly status_time: Date;
  readonly status_principal: string;
  readonly account_version: string;
  readonly create_time: Date;
  readonly update_time: Date;
  readonly roles: readonly AssignedRole[];
}

interface ErasureRow {
  readonly erasure_id: string;
  readonly user_id: string;
  readonly state: ErasureRecord["state"];
  readonly create_time: Date;
  readonly done_time: Date | null;
  readonly confirmations: readonly { readonly service: string; readonly confirm_time: string | null }[];
}

/** User's database in PostgreSQL. */
export function createPostgresUserStore(deps: { readonly database: Database; readonly clock: Clock }): UserStore {
  const { database, clock } = deps;
  const { sql } = database;

  const columns = sql`
    u.*, COALESCE((SELECT jsonb_agg(jsonb_build_object('role', role, 'branchId', branch_id)
      ORDER BY array_position(ARRAY['ADMINISTRATOR', 'OWNER', 'HELPER', 'MEMBER'], role), branch_id COLLATE "C")
      FROM role_assignments r WHERE r.user_id = u.user_id), '[]') AS roles`;

  const lock = async (tx: Transaction, userId: string): Promise<UserRow | undefined> => {
    await tx`SELECT FROM users WHERE user_id = ${userId} FOR UPDATE`; // Then a look that sees who held it before.
    const [row] = await tx<UserRow[]>`SELECT ${columns} FROM users u WHERE user_id = ${userId}`;
    return row;
  };

  const addOrUpdate = async (
    tx: Transaction,
    newcomer: UserRecord,
    accountVersion: bigint,
    announce: Announce,
  ): Promise<void> => {
    const { userId } = newcomer;
    const created = new Date(newcomer.createTimeMs);
    const { count } = await tx`
      INSERT INTO users (user_id, email, display_name, status, version, version_time, status_version, status_time,
        account_version, create_time, update_time)
      VALUES (${userId}, ${newcomer.email}, ${newcomer.displayName}, ${newcomer.status}, ${newcomer.version}, ${created},
        ${newcomer.statusVersion}, ${created}, ${accountVersion.toString()}, ${created}, ${created})
      ON CONFLICT (user_id) DO NOTHING`;
    if (count > 0) {
      await save(tx, newcomer, undefined);
      return announce(tx, newcomer, unannounced(newcomer));
    }
    const row = await lock(tx, userId);
    if (row === undefined || row.status === "DELETED" || BigInt(row.account_version) >= accountVersion) return;
    await tx`UPDATE users SET account_version = ${accountVersion.toString()} WHERE user_id = ${userId}`;
    const before = toRecord(row);
    const after = afterChange(before, (known) => ({ ...known, email: newcomer.email }), 1, clock.now());
    if (after === before) return;
    await save(tx, after, before);
    await announce(tx, after, before);
  };

  return {
    get: async (userId) => {
      if (!isUserId(userId)) return undefined;
      const [row] = await sql<UserRow[]>`SELECT ${columns} FROM users u WHERE user_id = ${userId}`;
      return row && toRecord(row);
    },

    list: async ({ role, branchId, status, plan, email }, after, limit) => {
      if (after !== "" && !isUserId(after)) return [];
      const rows = await sql<UserRow[]>`
        SELECT ${columns} FROM users u
        WHERE ${status === undefined ? sql`status <> 'DELETED'` : sql`status = ${status}`}
          ${after === "" ? sql`` : sql`AND user_id > ${after}`}
          ${plan === "" ? sql`` : sql`AND plan = ${plan}`}
          ${email === "" ? sql`` : sql`AND email = ${email}`}
          ${
            role === undefined && branchId === ""
              ? sql``
              : sql`AND EXISTS (SELECT FROM role_assignments r WHERE r.user_id = u.user_id
                  ${role === undefined ? sql`` : sql`AND role = ${role}`}
                  ${branchId === "" ? sql`` : sql`AND branch_id = ${branchId}`})`
          }
        ORDER BY user_id LIMIT ${limit}`;
      return rows.map(toRecord);
    },

    add: addOrUpdate,

    change: async (userId, change, announce, { guarded = false } = {}) => {
      if (!isUserId(userId)) return undefined;
      return database.transaction(async (tx) => {
        // Before the row: of two who hold one and wait for the other, one would be sent away.
        const others = guarded ? await otherAdministrators(tx, userId) : Infinity;
        const row = await lock(tx, userId);
        if (row === undefined) return undefined;
        const before = toRecord(row);
        const after = afterChange(before, change, others, clock.now());
        if (after === before) return before;
        await save(tx, after, before);
        await announce(tx, after, before);
        return after;
      });
    },

    ids: async (after, limit) => {
      const rows = await sql<{ user_id: string }[]>`
        SELECT user_id FROM users ${after === "" ? sql`` : sql`WHERE user_id > ${after}`} ORDER BY user_id LIMIT ${limit}`;
      return rows.map((row) => row.user_id);
    },

    erasingIds: async (after, limit) => {
      const rows = await sql<{ user_id: string }[]>`
        SELECT user_id FROM erasures WHERE state = 'ERASING' ${after === "" ? sql`` : sql`AND user_id > ${after}`}
        ORDER BY user_id LIMIT ${limit}`;
      return rows.map((row) => row.user_id);
    },

    republish: (userIds, announce) =>
      database.transaction(async (tx) => {
        // Locked, so that what is announced is the newest.
        await tx`SELECT FROM users WHERE user_id = ANY(${[...userIds]}::uuid[]) ORDER BY user_id FOR UPDATE`;
        const rows = await tx<UserRow[]>`
          SELECT ${columns} FROM users u WHERE user_id = ANY(${[...userIds]}::uuid[]) ORDER BY user_id`;
        for (const record of rows.map(toRecord)) await announce(tx, record, unannounced(record));
      }),

    preferences: async (userId) => {
      if (!isUserId(userId)) return undefined;
      const [row] = await sql<PreferencesRow[]>`
        SELECT preferences, p.version FROM users LEFT JOIN preferences p USING (user_id)
        WHERE user_id = ${userId} AND status <> 'DELETED'`;
      return row && toPreferences(row);
    },

    changePreferences: async (userId, change) => {
      if (!isUserId(userId)) return undefined;
      return database.transaction(async (tx) => {
        const known = await tx`SELECT FROM users WHERE user_id = ${userId} AND status <> 'DELETED' FOR UPDATE`;
        if (known.count === 0) return undefined;
        const [row] = await tx<PreferencesRow[]>`
          SELECT preferences, version FROM preferences WHERE user_id = ${userId}`;
        const before = row === undefined ? noPreferences : toPreferences(row);
        const after = change(before);
        if (after !== before) {
          await tx`
            INSERT INTO preferences (user_id, preferences, version)
            VALUES (${userId}, ${tx.json(after.values)}, ${after.version})
            ON CONFLICT (user_id) DO UPDATE SET preferences = excluded.preferences, version = excluded.version`;
        }
        return after;
      });
    },

    beginErasure: async (tx, { erasureId, userId, services }, nowMs) => {
      await tx`DELETE FROM preferences WHERE user_id = ${userId}`;
      await tx`
        INSERT INTO erasures (erasure_id, user_id, state, create_time)
        VALUES (${erasureId}, ${userId}, 'ERASING', ${new Date(nowMs)})`;
      await tx`
        INSERT INTO erasure_confirmations (erasure_id, service)
        SELECT ${erasureId}, service FROM unnest(${[...services]}::text[]) AS service`;
    },

    erasure: async (by) => {
      if ("userId" in by && !isUserId(by.userId)) return undefined;
      const [row] = await sql<ErasureRow[]>`
        SELECT e.*, (SELECT jsonb_agg(jsonb_build_object('service', service, 'confirm_time', confirm_time)
          ORDER BY service COLLATE "C") FROM erasure_confirmations c WHERE c.erasure_id = e.erasure_id) AS confirmations
        FROM erasures e
        WHERE ${"userId" in by ? sql`user_id = ${by.userId}` : sql`erasure_id = ${by.erasureId}`}`;
      return row && toErasure(row);
    },

    confirmErasure: async (tx, userId, service, confirmTimeMs) => {
      if (!isUserId(userId)) return;
      // One confirmation after the other: the last one must see all before it.
      const [erasure] = await tx<{ erasure_id: string }[]>`
        SELECT erasure_id FROM erasures WHERE user_id = ${userId} FOR UPDATE`;
      if (erasure === undefined) return;
      await tx`
        UPDATE erasure_confirmations SET confirm_time = ${new Date(confirmTimeMs)}
        WHERE erasure_id = ${erasure.erasure_id} AND service = ${service} AND confirm_time IS NULL`;
      await tx`
        UPDATE erasures SET state = 'DESTROYING_KEY'
        WHERE erasure_id = ${erasure.erasure_id} AND state = 'ERASING' AND NOT EXISTS (
          SELECT FROM erasure_confirmations c WHERE c.erasure_id = erasures.erasure_id AND confirm_time IS NULL)`;
    },

    dueErasures: async (limit) => {
      const rows = await sql<{ erasure_id: string; user_id: string }[]>`
        SELECT erasure_id, user_id FROM erasures WHERE state = 'DESTROYING_KEY' ORDER BY create_time LIMIT ${limit}`;
      return rows.map(({ erasure_id, user_id }) => ({ erasureId: erasure_id, userId: user_id }));
    },

    endErasure: async (erasureId, doneTimeMs) => {
      await sql`
        UPDATE erasures SET state = 'DONE', done_time = ${new Date(doneTimeMs)}
        WHERE erasure_id = ${erasureId} AND state = 'DESTROYING_KEY'`;
    },
  };
}

/** Writes a person down whose row is locked. */
async function save(tx: Transaction, after: UserRecord, before: UserRecord | undefined): Promise<void> {
  const { userId, membership } = after;
  await tx`
    UPDATE users SET email = ${after.email}, display_name = ${after.displayName}, locale = ${after.locale},
      time_zone = ${after.timeZone}, phone_number = ${after.phoneNumber}, picture_uri = ${after.pictureUri},
      status = ${after.status}, suspend_reason = ${after.suspendReason}, plan = ${membership?.plan ?? null},
      from_time = ${dateOf(membership?.fromTimeMs)}, until_time = ${dateOf(membership?.untilTimeMs)},
      paused = ${membership?.paused ?? false}, version = ${after.version}, version_time = ${new Date(after.versionTimeMs)},
      status_version = ${after.statusVersion}, status_time = ${new Date(after.statusTimeMs)},
      status_principal = ${after.statusPrincipal},
      update_time = ${new Date(after.updateTimeMs)}
    WHERE user_id = ${userId}`;
  if (JSON.stringify(after.roles) === JSON.stringify(before?.roles)) return;
  await tx`DELETE FROM role_assignments WHERE user_id = ${userId}`;
  for (const { role, branchId } of after.roles) {
    await tx`INSERT INTO role_assignments (user_id, role, branch_id) VALUES (${userId}, ${role}, ${branchId})`;
  }
}

/** How many other active administrators there are, which until the end of the transaction nobody else changes for the less. */
async function otherAdministrators(tx: Transaction, userId: string): Promise<number> {
  await tx`SELECT pg_advisory_xact_lock(hashtext(${administratorsLock}))`;
  const [row] = await tx<{ count: number }[]>`
    SELECT count(*)::int AS count FROM role_assignments JOIN users USING (user_id)
    WHERE role = 'ADMINISTRATOR' AND branch_id = '' AND status = 'ACTIVE' AND user_id <> ${userId}`;
  return row?.count ?? 0;
}

/** The person as others know them who have heard nothing: active, and nothing more. */
function unannounced(record: UserRecord): UserRecord {
  return { ...record, version: 0, statusVersion: 1 };
}

interface PreferencesRow {
  readonly preferences: Record<string, string> | null;
  readonly version: string | null;
}

function toPreferences({ preferences, version }: PreferencesRow): PreferencesRecord {
  return preferences === null ? noPreferences : { values: preferences, version: Number(version) };
}

function toRecord(row: UserRow): UserRecord {
  return {
    userId: row.user_id,
    email: row.email,
    displayName: row.display_name,
    locale: row.locale,
    timeZone: row.time_zone,
    phoneNumber: row.phone_number,
    pictureUri: row.picture_uri,
    status: row.status,
    suspendReason: row.suspend_reason,
    roles: row.roles,
    membership:
      row.plan === null
        ? undefined
        : {
            plan: row.plan,
            fromTimeMs: row.from_time?.getTime(),
            untilTimeMs: row.until_time?.getTime(),
            paused: row.paused,
          },
    version: Number(row.version),
    versionTimeMs: row.version_time.getTime(),
    statusVersion: Number(row.status_version),
    statusTimeMs: row.status_time.getTime(),
    statusPrincipal: row.status_principal,
    createTimeMs: row.create_time.getTime(),
    updateTimeMs: row.update_time.getTime(),
  };
}

function toErasure(row: ErasureRow): ErasureRecord {
  return {
    erasureId: row.erasure_id,
    userId: row.user_id,
    state: row.state,
    confirmations: row.confirmations.map(({ service, confirm_time }) => ({
      service,
      confirmTimeMs: confirm_time === null ? undefined : Date.parse(confirm_time),
    })),
    createTimeMs: row.create_time.getTime(),
    doneTimeMs: row.done_time?.getTime(),
  };
}

function dateOf(ms: number | undefined): Date | null {
  return ms === undefined ? null : new Date(ms);
}
