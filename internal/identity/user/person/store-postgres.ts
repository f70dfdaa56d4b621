import { isUuid } from "../../../platform/clock/random.ts";
import type { Sql, Transaction } from "../../../platform/postgres/database.ts";
import type { AssignedRole, Person, StatusName } from "./person.ts";
import type { PersonStore } from "./store.ts";

/** Held while a change might take the last administrator away. */
const administratorsLock = "muin user administrators";

interface PersonRow {
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
  readonly create_time: Date;
  readonly update_time: Date;
  readonly roles: readonly AssignedRole[];
}

/** People in PostgreSQL. */
export const postgresPersonStore: PersonStore = {
  get: async (sql, userId) => {
    if (!isUuid(userId)) return undefined;
    const [row] = await sql<PersonRow[]>`SELECT ${columnsOf(sql)} FROM users u WHERE user_id = ${userId}`;
    return row && toPerson(row);
  },

  list: async (sql, { role, branchId, status, plan, email }, after, limit) => {
    if (after !== "" && !isUuid(after)) return [];
    const rows = await sql<PersonRow[]>`
      SELECT ${columnsOf(sql)} FROM users u
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
    return rows.map(toPerson);
  },

  ids: async (sql, after, limit) => {
    const rows = await sql<{ user_id: string }[]>`
      SELECT user_id FROM users ${after === "" ? sql`` : sql`WHERE user_id > ${after}`} ORDER BY user_id LIMIT ${limit}`;
    return rows.map((row) => row.user_id);
  },

  otherAdministrators: async (tx, userId) => {
    await tx`SELECT pg_advisory_xact_lock(hashtext(${administratorsLock}))`;
    const [row] = await tx<{ count: number }[]>`
      SELECT count(*)::int AS count FROM role_assignments JOIN users USING (user_id)
      WHERE role = 'ADMINISTRATOR' AND branch_id = '' AND status = 'ACTIVE' AND user_id IS DISTINCT FROM ${isUuid(userId) ? userId : null}`;
    return row?.count ?? 0;
  },

  lock: async (tx, userId) => (await lockAll(tx, [userId]))[0],

  lockAll,

  add: async (tx, newcomer, accountVersion) => {
    const { userId, email, displayName, status, version, statusVersion } = newcomer;
    const created = new Date(newcomer.createTimeMs);
    const { count } = await tx`
      INSERT INTO users (user_id, email, display_name, status, version, version_time, status_version, status_time,
        account_epoch, account_version, create_time, update_time)
      VALUES (${userId}, ${email}, ${displayName}, ${status}, ${version}, ${created}, ${statusVersion}, ${created},
        ${accountVersion.epoch}, ${accountVersion.version.toString()}, ${created}, ${created})
      ON CONFLICT (user_id) DO NOTHING`;
    if (count === 0) return false;
    await saveRoles(tx, newcomer);
    return true;
  },

  advanceAccount: async (tx, userId, { epoch, version }) => {
    const { count } = await tx`
      UPDATE users SET account_epoch = ${epoch}, account_version = ${version.toString()}
      WHERE user_id = ${userId} AND (account_epoch, account_version) < (${epoch}, ${version.toString()})`;
    return count > 0;
  },

  save: async (tx, person) => {
    const { userId, membership } = person;
    await tx`
      UPDATE users SET email = ${person.email}, display_name = ${person.displayName}, locale = ${person.locale},
        time_zone = ${person.timeZone}, phone_number = ${person.phoneNumber}, picture_uri = ${person.pictureUri},
        status = ${person.status}, suspend_reason = ${person.suspendReason}, plan = ${membership?.plan ?? null},
        from_time = ${dateOf(membership?.fromTimeMs)}, until_time = ${dateOf(membership?.untilTimeMs)},
        paused = ${membership?.paused ?? false}, version = ${person.version},
        version_time = ${new Date(person.versionTimeMs)}, status_version = ${person.statusVersion},
        status_time = ${new Date(person.statusTimeMs)}, status_principal = ${person.statusPrincipal},
        update_time = ${new Date(person.updateTimeMs)}
      WHERE user_id = ${userId}`;
    await saveRoles(tx, person);
  },
};

/** A person's row with their roles. */
function columnsOf(sql: Sql) {
  return sql`
    u.*, COALESCE((SELECT jsonb_agg(jsonb_build_object('role', role, 'branchId', branch_id)
      ORDER BY array_position(ARRAY['ADMINISTRATOR', 'OWNER', 'HELPER', 'MEMBER'], role), branch_id COLLATE "C")
      FROM role_assignments r WHERE r.user_id = u.user_id), '[]') AS roles`;
}

async function lockAll(tx: Transaction, userIds: readonly string[]): Promise<readonly Person[]> {
  const ids = userIds.filter(isUuid);
  await tx`SELECT FROM users WHERE user_id = ANY(${ids}::uuid[]) ORDER BY user_id FOR UPDATE`;
  // A second look, which sees what those did who held the locks before.
  const rows = await tx<PersonRow[]>`
    SELECT ${columnsOf(tx)} FROM users u WHERE user_id = ANY(${ids}::uuid[]) ORDER BY user_id`;
  return rows.map(toPerson);
}

async function saveRoles(tx: Transaction, { userId, roles }: Person): Promise<void> {
  const names = roles.map(({ role }) => role);
  const branchIds = roles.map(({ branchId }) => branchId);
  await tx`
    WITH wanted AS (SELECT * FROM unnest(${names}::text[], ${branchIds}::text[]) AS w (role, branch_id)),
      gone AS (
        DELETE FROM role_assignments r WHERE user_id = ${userId}
          AND NOT EXISTS (SELECT FROM wanted w WHERE w.role = r.role AND w.branch_id = r.branch_id))
    INSERT INTO role_assignments (user_id, role, branch_id) SELECT ${userId}, role, branch_id FROM wanted
    ON CONFLICT DO NOTHING`;
}

function toPerson(row: PersonRow): Person {
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

function dateOf(ms: number | undefined): Date | null {
  return ms === undefined ? null : new Date(ms);
}
