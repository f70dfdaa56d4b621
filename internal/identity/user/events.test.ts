import { toBinary } from "@bufbuild/protobuf";
import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { UserStatusChangedSchema, UserUpdatedSchema } from "../../gen/muin/identity/v1/user_events_pb.ts";
import type { ServiceInfo } from "../../platform/service/define-service.ts";
import { importMutant } from "../../platform/testing/mutant.ts";
import { operator, outcomeOf, startUser, type UserFixture } from "./user-fixture.ts";

const file = (name: string): string => join(import.meta.dir, name);
const through = [file("definition.ts")];

const secrets = {
  email: "secret.address@example.org",
  displayName: "Secret Name",
  locale: "tlh",
  timeZone: "Antarctica/Vostok",
  phoneNumber: "+15550109999",
  pictureUri: "https://secret.example.org/",
};

/** What of a person's fields can be read in user's events without their key. */
async function leaks(from?: ServiceInfo): Promise<readonly string[]> {
  await using user = await startUser(from === undefined ? {} : { from });
  const { email, displayName, ...fields } = secrets;
  const me = await user.signUp({ email, displayName });
  await user.as(me).updateUser({ user: { userId: "me", ...fields } });
  await user.as(operator).suspendUser({ userId: me.id, reason: "Secret Reason" });
  const rows = await user.database.sql<{ data: Uint8Array }[]>`SELECT data FROM platform.outbox`;
  expect(rows.length).toBe(3);
  const published = Buffer.concat(rows.map(({ data }) => data)).toString();
  return [...Object.values(secrets), "Secret Reason"].filter((text) => published.includes(text));
}

/** Events of changes that were not made. */
async function leftBehind(user: UserFixture): Promise<number> {
  const { id } = await user.signUp();
  const before = (await user.events()).length;
  // Breaks the transaction after the event, at its very end.
  await user.database.sql.unsafe(`
    CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no'; END $$`);
  await user.database.sql.unsafe(`
    CREATE CONSTRAINT TRIGGER refuse AFTER UPDATE ON users DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION refuse()`);
  const client = user.as(operator);
  expect(await outcomeOf(client.updateUser({ user: { userId: id, displayName: "B" } }))).toStartWith("Internal");
  expect(await outcomeOf(client.suspendUser({ userId: id, reason: "x" }))).toStartWith("Internal");
  expect(await outcomeOf(client.deleteUser({ userId: id }))).toStartWith("Internal");
  return (await user.events()).length - before;
}

describe("user's events", () => {
  test("show no personal field to who has no key", async () => {
    expect(await leaks()).toEqual([]);
  });

  test("mutant: fields that are not sealed are noticed", async () => {
    const mutant = await importMutant<{ user: ServiceInfo }>(
      file("events.ts"),
      "sealPersonal(UserContactSchema, contact, key, random)",
      '{ ciphertext: Buffer.from(Object.values(contact).join(" ")) }',
      through,
    );
    expect(await leaks(mutant.user)).toEqual(Object.values(secrets));
  });

  test("are recorded if and only if their change is", async () => {
    await using user = await startUser();
    expect(await leftBehind(user)).toBe(0);
  });

  test.each([
    ["person/rules.ts", "await publishUserUpdated(tx, publish, random, present(key, after), after);"],
    ["status/rules.ts", "await publishUserStatusChanged(tx, publish, after);"],
    ["erasure/rules.ts", "await publishUserStatusChanged(tx, publish, after);"],
  ])("mutant: recording in another transaction in %s is noticed", async (name, statement) => {
    const apart = statement.replace("await ", "await database.transaction((other) => ").replace("(tx,", "(other,");
    const mutant = await importMutant<{ user: ServiceInfo }>(file(name), statement, apart.replace(/;$/, ");"), through);
    await using user = await startUser({ from: mutant.user });
    expect(await leftBehind(user)).toBe(1);
  });

  test("stay small of who has much to say", async () => {
    await using user = await startUser();
    const { id } = await user.signUp({ displayName: "\u{1F469}".repeat(64), email: `${"a".repeat(240)}@example.org` });
    const client = user.as(operator);
    await user.database.sql`
      INSERT INTO role_assignments SELECT ${id}, 'HELPER', lpad(n::text, 64, 'b') FROM generate_series(1, 99) n`;
    await client.updateUser({ user: { userId: id, pictureUri: `https://example.org/${"p".repeat(2020)}` } });
    const sizes = (await user.events()).map((event) =>
      event.$typeName === UserUpdatedSchema.typeName
        ? toBinary(UserUpdatedSchema, event as never).length
        : toBinary(UserStatusChangedSchema, event as never).length,
    );
    expect(Math.max(...sizes)).toBeLessThan(16_384);
  });
});

/** What became of somebody whose UserCreated came again, at its version and at one before. */
async function afterStaleEvents(from?: ServiceInfo): Promise<unknown> {
  await using user = await startUser(from === undefined ? {} : { from });
  const person = user.auth.newcomer();
  await user.deliver(user.auth.created(person, { version: 2n }));
  await user.deliver(user.auth.created(person, { version: 2n, email: "same@example.org" }));
  await user.deliver(user.auth.created(person, { version: 1n, email: "old@example.org" }));
  const { user: seen } = await user.as(operator).getUser({ userId: person.personId });
  return [seen?.email, (await user.events()).length];
}

describe("an event that is not newer", () => {
  test("changes nothing", async () => {
    expect(await afterStaleEvents()).toEqual(["ada@example.org", 1]);
  });

  test("mutant: a consumer that takes it is noticed", async () => {
    const mutant = await importMutant<{ user: ServiceInfo }>(
      file("person/store-postgres.ts"),
      " AND (account_epoch, account_version) < (${epoch}, ${version.toString()})",
      "",
      [file("definition.ts")],
    );
    expect(await afterStaleEvents(mutant.user)).toEqual(["old@example.org", 3]);
  });
});
