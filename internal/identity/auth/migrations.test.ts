import { expect, test } from "bun:test";
import { silentLog } from "../../platform/events/redis/redis-broker-fixture.ts";
import { migrate } from "../../platform/postgres/migrate.ts";
import { openDatabase } from "../../platform/postgres/open-database.ts";
import { topicsAcross } from "../../platform/testing/moved-topics.ts";
import { sharedPostgres } from "../../platform/testing/postgres.ts";
import { migrations } from "./migrations.ts";

/** Message, topic before, topic after. */
const moved = [
  ["muin.identity.v1.UserDataErased", "identity.user", "erasure.auth"],
  ["muin.face.v1.FaceEnrolmentRecorded", "face.enrolment", "identity.enrolment"],
  ["muin.identity.v1.UserCreated", "identity.user", "identity.user"],
] as const;

test("what waits in the outbox for a topic of before goes to that of now", async () => {
  const rows = await topicsAcross(migrations, "0012_own_topics", moved);
  expect(rows).toEqual(moved.map(([type, , topic]) => [type, topic]));
});

test("accounts of before have 7 days to be proven, and whoever runs the installation counts as proven", async () => {
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
  const rows = await database.sql<{ email: string; proven: boolean; hours: number | null }[]>`
    SELECT email, email_verify_time IS NOT NULL AS proven, round(extract(epoch FROM prove_by_time - now()) / 3600)::int AS hours
    FROM accounts ORDER BY email`;
  expect(rows.map(({ email, proven, hours }) => [email, proven, hours])).toEqual([
    ["administrator@example.org", true, null],
    ["member@example.org", false, 168],
  ]);
  await database.stop();
});

test("keys of before get who made them as owner, else the first administrator, and stay without an end", async () => {
  const url = await (await sharedPostgres()).createDatabase();
  const before = migrations.findIndex(({ name }) => name === "0015_key_owners");
  await migrate({ url, migrations: migrations.slice(0, before), log: silentLog });
  const database = openDatabase({ url, applicationName: "test" });
  const { sql } = database;
  const ids = { late: "", first: "", ada: "" };
  for (const [minute, name] of (["late", "first", "ada"] as const).entries()) {
    const [account] = await sql<{ user_id: string }[]>`
      INSERT INTO accounts (user_id, email, display_name, password_hash, version, create_time, update_time)
      VALUES (gen_random_uuid(), ${`${name}@example.org`}, '', 'hash', 1, to_timestamp(${name === "first" ? 0 : minute + 1}), now())
      RETURNING user_id`;
    ids[name] = account?.user_id ?? "";
    const role = name === "ada" ? "member" : "administrator";
    await sql`INSERT INTO role_assignments (user_id, role, create_time) VALUES (${ids[name]}, ${role}, now())`;
  }
  const made: Record<string, string> = {};
  for (const [name, by] of [
    ["hers", `person:${ids.ada}`],
    ["its", "hers"],
    ["nobody's", "service:auth"],
    ["lost", ""],
  ] as const) {
    const [key] = await sql<{ api_key_id: string }[]>`
      INSERT INTO api_keys (api_key_id, display_name, scopes, secret_hash, version, create_time)
      VALUES (gen_random_uuid(), ${name}, ARRAY['counts.read'], ${crypto.getRandomValues(new Uint8Array(32))}, 1, now())
      RETURNING api_key_id`;
    made[name] = key?.api_key_id ?? "";
    if (by === "") continue;
    const principal = by === "hers" ? `api_key:${made[by]}` : by;
    await sql`
      INSERT INTO audit_log (create_time, action, outcome, principal, subject, address, user_agent, detail)
      VALUES (now(), 'CREATE_API_KEY', 'DONE', ${principal}, ${`api_key:${made[name]}`}, '', '', '')`;
  }
  await migrate({ url, migrations, log: silentLog });
  const rows = await sql<{ display_name: string; owner_id: string; endless: boolean }[]>`
    SELECT display_name, owner_id, expire_time IS NULL AS endless FROM api_keys`;
  expect(Object.fromEntries(rows.map((row) => [row.display_name, [row.owner_id, row.endless]]))).toEqual({
    hers: [ids.ada, true],
    its: [ids.ada, true],
    "nobody's": [ids.first, true],
    lost: [ids.first, true],
  });
  await database.stop();
});
