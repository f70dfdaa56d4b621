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

test("accounts of before stay as they are, and whoever runs the installation counts as proven", async () => {
  const url = await (await sharedPostgres()).createDatabase();
  const before = migrations.findIndex(({ name }) => name === "0011_newcomers");
  await migrate({ url, migrations: migrations.slice(0, before), log: silentLog });
  const database = openDatabase({ url, applicationName: "test" });
  for (const role of ["administrator", "member"]) {
    const [account] = await database.sql<{ user_id: string }[]>`
      INSERT INTO accounts SELECT gen_random_uuid(), ${`${role}@example.org`}, '', 'hash', 1, now(), now() RETURNING user_id`;
    await database.sql`INSERT INTO role_assignments VALUES (${account?.user_id ?? ""}, ${role}, now())`;
  }
  await migrate({ url, migrations, log: silentLog });
  const rows = await database.sql<{ email: string; proven: boolean }[]>`
    SELECT email, email_verify_time IS NOT NULL AS proven FROM accounts ORDER BY email`;
  expect(rows.map(({ email, proven }) => [email, proven])).toEqual([
    ["administrator@example.org", true],
    ["member@example.org", false],
  ]);
  await database.stop();
});
