import { expect, test } from "bun:test";
import { silentLog } from "../../platform/events/redis/redis-broker-fixture.ts";
import { migrate } from "../../platform/postgres/migrate.ts";
import { openDatabase } from "../../platform/postgres/open-database.ts";
import { sharedPostgres } from "../../platform/testing/postgres.ts";
import { migrations } from "./migrations.ts";

/** Message, topic before, topic after. */
const moved = [
  ["muin.identity.v1.UserDataErased", "identity.user", "erasure.auth"],
  ["muin.face.v1.FaceEnrolmentRecorded", "face.enrolment", "identity.enrolment"],
  ["muin.identity.v1.UserCreated", "identity.user", "identity.user"],
] as const;

test("what waits in the outbox for a topic of before goes to that of now", async () => {
  const url = await (await sharedPostgres()).createDatabase();
  const before = migrations.findIndex(({ name }) => name === "0012_own_topics");
  await migrate({ url, migrations: migrations.slice(0, before), log: silentLog });
  const database = openDatabase({ url, applicationName: "test" });
  for (const [type, topic] of moved) {
    await database.sql`
      INSERT INTO platform.outbox (event_id, source, type, subject, topic, time_ms, traceparent, data)
      VALUES (${type}, '', ${type}, 's', ${topic}, 1, '', '')`;
  }
  await migrate({ url, migrations, log: silentLog });
  const rows = await database.sql<{ type: string; topic: string }[]>`
    SELECT type, topic FROM platform.outbox ORDER BY sequence`;
  expect(rows.map(({ type, topic }) => [type, topic])).toEqual(moved.map(([type, , topic]) => [type, topic]));
  await database.stop();
});
