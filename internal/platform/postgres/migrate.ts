import postgres, { type Sql } from "postgres";
import { systemRandom } from "../clock/random.ts";
import type { Logger } from "../telemetry/logger.ts";
import type { Migration } from "./database.ts";
import { mapPostgresError } from "./map-error.ts";
import platform0001 from "./migrations/0001_events.sql" with { type: "text" };
import platform0002 from "./migrations/0002_parked_events.sql" with { type: "text" };
import platform0003 from "./migrations/0003_epoch.sql" with { type: "text" };
import { driverOptions } from "./open-database.ts";
import { serverOf } from "./server-of.ts";

/** One migrator at a time in a database; "muin" in ASCII. */
const lockKey = 0x6d75696e;
const migrationName = /^\d{4}_[a-z0-9_]+$/;

/** Tables that the platform keeps in each service's database, schema `platform`. Applied by `migrate` before the service's own. */
const platformMigrations: readonly Migration[] = [
  { name: "0001_events", sql: platform0001 },
  { name: "0002_parked_events", sql: platform0002 },
  { name: "0003_epoch", sql: platform0003 },
];

/** A database whose history does not fit this binary's migrations: nothing was changed by the step that threw. */
export class MigrationError extends Error {
  override readonly name = "MigrationError";
}

/** What to migrate. */
export interface MigrateOptions {
  /** Database, as the role that owns its schema. */
  readonly url: string;
  /**
   * The service's own, in order: numbers from 0001 without a gap. A service embeds them, so that a binary carries them:
   *
   *     import accounts from "./migrations/0001_accounts.sql" with { type: "text" };
   *     postgres({ database: "auth", migrations: [{ name: "0001_accounts", sql: accounts }] })
   */
  readonly migrations: readonly Migration[];
  readonly log: Logger;
  /** Role that gets rows, not schema changes, in everything that the schema role made. Absent: rights are given elsewhere. */
  readonly dataRole?: string;
  /** Roles of other services that may read the named views, where there are such roles. */
  readonly readers?: readonly { readonly role: string; readonly views: readonly string[] }[];
}

/**
 * Brings a database to the newest schema: the platform's migrations, then the service's, each not yet applied one in a
 * transaction of its own, by one process at a time. Forward only. Throws `MigrationError` when an applied file was edited, when
 * the database knows a migration that this binary does not (the binary is older), and when numbers have a gap.
 */
export async function migrate(options: MigrateOptions): Promise<void> {
  const server = serverOf(options.url);
  const sql = postgres(server.url, { ...driverOptions("muin migrate", systemRandom), ...server.options, max: 1 });
  try {
    await sql`SELECT pg_advisory_lock(${lockKey})`;
    await sql`CREATE SCHEMA IF NOT EXISTS platform`;
    await sql`CREATE TABLE IF NOT EXISTS platform.migrations (
      series text NOT NULL, name text NOT NULL, checksum text NOT NULL,
      applied_at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (series, name))`;
    await apply(sql, "platform", platformMigrations, options.log);
    await apply(sql, "service", options.migrations, options.log);
    if (options.dataRole !== undefined) await grantRows(sql, options.dataRole);
    for (const { role, views } of options.readers ?? []) await grantViews(sql, role, views);
  } catch (error) {
    throw mapPostgresError(error);
  } finally {
    await sql.end({ timeout: 5 }); // Lets go of the lock too.
  }
}

async function apply(sql: Sql, series: string, migrations: readonly Migration[], log: Logger): Promise<void> {
  checkNumbers(migrations);
  const rows = await sql<{ name: string; checksum: string }[]>`
    SELECT name, checksum FROM platform.migrations WHERE series = ${series} ORDER BY name`;
  for (const [index, row] of rows.entries()) {
    const known = migrations[index];
    if (known?.name !== row.name) {
      throw new MigrationError(
        known === undefined
          ? `the database has migration ${row.name}, which this version does not know: it is older than the database`
          : `the database has migration ${row.name} where this version has ${known.name}`,
      );
    }
    if (checksum(known) !== row.checksum) {
      throw new MigrationError(`migration ${row.name} was edited after it had been applied; add a new one instead`);
    }
  }
  for (const migration of migrations.slice(rows.length)) {
    await sql.begin(async (tx) => {
      await tx.unsafe(migration.sql);
      await tx`INSERT INTO platform.migrations (series, name, checksum)
        VALUES (${series}, ${migration.name}, ${checksum(migration)})`;
    });
    log.info("migration applied", { series, migration: migration.name });
  }
}

function checkNumbers(migrations: readonly Migration[]): void {
  for (const [index, { name }] of migrations.entries()) {
    const expected = String(index + 1).padStart(4, "0");
    if (!migrationName.test(name) || !name.startsWith(`${expected}_`)) {
      throw new MigrationError(`migration ${name} stands where one named ${expected}_words is expected`);
    }
  }
}

function checksum(migration: Migration): string {
  return new Bun.CryptoHasher("sha256").update(migration.sql).digest("hex");
}

async function grantRows(sql: Sql, role: string): Promise<void> {
  for (const schema of ["public", "platform"]) {
    await sql`GRANT USAGE ON SCHEMA ${sql(schema)} TO ${sql(role)}`;
    await sql`GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA ${sql(schema)} TO ${sql(role)}`;
    await sql`GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA ${sql(schema)} TO ${sql(role)}`;
    await sql`GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA ${sql(schema)} TO ${sql(role)}`;
  }
  await sql`REVOKE INSERT, UPDATE, DELETE ON platform.migrations, platform.epoch FROM ${sql(role)}`;
}

async function grantViews(sql: Sql, role: string, views: readonly string[]): Promise<void> {
  const known = await sql`SELECT FROM pg_roles WHERE rolname = ${role}`;
  if (known.length === 0) return;
  await sql`GRANT USAGE ON SCHEMA public TO ${sql(role)}`;
  for (const view of views) await sql`GRANT SELECT ON ${sql(view)} TO ${sql(role)}`;
}
