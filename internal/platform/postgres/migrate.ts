import postgres, { type Sql } from "postgres";
import { systemRandom } from "../clock/random.ts";
import type { Logger } from "../telemetry/logger.ts";
import type { Migration } from "./database.ts";
import { mapPostgresError } from "./map-error.ts";
import platform0001 from "./migrations/0001_events.sql" with { type: "text" };
import { driverOptions } from "./open-database.ts";

/** One migrator at a time in a database; "muin" in ASCII. */
const lockKey = 0x6d75696e;
const migrationName = /^\d{4}_[a-z0-9_]+$/;

/** Tables that the platform keeps in each service's database, schema `platform`. Applied by `migrate` before the service's own. */
const platformMigrations: readonly Migration[] = [{ name: "0001_events", sql: platform0001 }];

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
  /** Roles of other services that may read the named views. */
  readonly readers?: readonly { readonly role: string; readonly views: readonly string[] }[];
}

/**
 * Brings a database to the newest schema: the platform's migrations, then the service's, each not yet applied one in a
 * transaction of its own, by one process at a time. Forward only. Throws `MigrationError` when an applied file was edited, when
 * the database knows a migration that this binary does not (the binary is older), and when numbers have a gap.
 */
export async function migrate(options: MigrateOptions): Promise<void> {
  const sql = postgres(options.url, { ...driverOptions("muin migrate", systemRandom), max: 1 });
  try {
    await sql`select pg_advisory_lock(${lockKey})`;
    await sql`create schema if not exists platform`;
    await sql`create table if not exists platform.migrations (
      series text not null, name text not null, checksum text not null,
      applied_at timestamptz not null default now(), primary key (series, name))`;
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
    select name, checksum from platform.migrations where series = ${series} order by name`;
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
      await tx`insert into platform.migrations (series, name, checksum)
        values (${series}, ${migration.name}, ${checksum(migration)})`;
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
    await sql`grant usage on schema ${sql(schema)} to ${sql(role)}`;
    await sql`grant select, insert, update, delete on all tables in schema ${sql(schema)} to ${sql(role)}`;
    await sql`grant usage, select on all sequences in schema ${sql(schema)} to ${sql(role)}`;
  }
  await sql`revoke insert, update, delete on platform.migrations from ${sql(role)}`;
}

async function grantViews(sql: Sql, role: string, views: readonly string[]): Promise<void> {
  await sql`grant usage on schema public to ${sql(role)}`;
  for (const view of views) await sql`grant select on ${sql(view)} to ${sql(role)}`;
}
