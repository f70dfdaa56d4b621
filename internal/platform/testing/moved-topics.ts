import { silentLog } from "../events/redis/redis-broker-fixture.ts";
import type { Migration } from "../postgres/database.ts";
import { migrate } from "../postgres/migrate.ts";
import { openDatabase } from "../postgres/open-database.ts";
import { sharedPostgres } from "./postgres.ts";

/**
 * Records events, each a message and its topic, in the outbox of a database that stands before a migration, and runs that and
 * the later ones. Returns messages and topics as they stand then.
 */
export async function topicsAcross(
  migrations: readonly Migration[],
  name: string,
  events: readonly (readonly [type: string, topic: string, ...rest: unknown[]])[],
): Promise<readonly (readonly [type: string, topic: string])[]> {
  const url = await (await sharedPostgres()).createDatabase();
  const before = migrations.findIndex((migration) => migration.name === name);
  await migrate({ url, migrations: migrations.slice(0, before), log: silentLog });
  const database = openDatabase({ url, applicationName: "test" });
  for (const [type, topic] of events) {
    await database.sql`
      INSERT INTO platform.outbox (event_id, source, type, subject, topic, time_ms, traceparent, data)
      VALUES (${type}, '', ${type}, 's', ${topic}, 1, '', '')`;
  }
  await migrate({ url, migrations, log: silentLog });
  const rows = await database.sql<{ type: string; topic: string }[]>`
    SELECT type, topic FROM platform.outbox ORDER BY sequence`;
  await database.stop();
  return rows.map(({ type, topic }) => [type, topic]);
}
