import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { systemRandom } from "../../platform/clock/random.ts";
import { importMutant } from "../../platform/testing/mutant.ts";
import { createAccount } from "./account/create.ts";
import { postgresAccountStore } from "./account/store-postgres.ts";
import { postgresAuditStore } from "./audit/store-postgres.ts";
import { startAuth, type AuthFixture } from "./auth-fixture.ts";
import * as Events from "./events.ts";
import { createPersonKeys } from "./person-key/rules.ts";
import { postgresPersonKeyStore } from "./person-key/store-postgres.ts";
import { createVault } from "./secret/vault.ts";

const ada = { email: "ada@example.org", displayName: "Ada Lovelace" };

const outbox = async (auth: AuthFixture): Promise<string[]> =>
  (await auth.database.sql<{ data: Uint8Array }[]>`SELECT data FROM platform.outbox`).map(({ data }) =>
    Buffer.from(data).toString("latin1"),
  );

/** Personal fields that can be read in the outbox by who has no key. */
async function leaks(publishUserCreated: typeof Events.publishUserCreated): Promise<string[]> {
  await using auth = await startAuth();
  const person = { personId: systemRandom.uuid(), key: systemRandom.bytes(32) };
  const account = { ...ada, roles: ["member"], version: 1n, createTimeMs: auth.clock.now() };
  await auth.database.transaction((tx) => publishUserCreated(tx, auth.publish, systemRandom, person, account));
  const [data = ""] = await outbox(auth);
  return Object.values(ada).filter((field) => data.includes(field));
}

/** Events that are left of an account whose transaction fails after it was made. */
async function leftBehind(publishOf: (auth: AuthFixture) => Events.AuthPublish): Promise<number> {
  await using auth = await startAuth();
  const { database, clock, config } = auth;
  const random = systemRandom;
  const vault = createVault(config.keyEncryptionSecret, random);
  const [accounts, audit] = [postgresAccountStore, postgresAuditStore];
  const personKeys = createPersonKeys({
    database,
    store: postgresPersonKeyStore,
    accounts,
    audit,
    vault,
    clock,
    random,
  });
  const failing = database.transaction(async (tx) => {
    const account = { ...ada, passwordHash: "none", role: "member" } as const;
    await createAccount(tx, { accounts, personKeys, publish: publishOf(auth), clock, random }, account);
    throw new Error("later");
  });
  expect(await failing.catch((error: unknown) => String(error))).toBe("Error: later");
  return (await outbox(auth)).length;
}

describe("auth's events", () => {
  test("show no personal field to who has no key", async () => {
    expect(await leaks(Events.publishUserCreated)).toEqual([]);
  });

  test("mutant: an unsealed profile is noticed", async () => {
    const mutant = await importMutant<typeof Events>(
      join(import.meta.dir, "events.ts"),
      "sealPersonal(UserProfileSchema, { email, displayName }, person, random)",
      "{ ciphertext: Buffer.from(email + displayName) }",
    );
    expect(await leaks(mutant.publishUserCreated)).toEqual(Object.values(ada));
  });

  test("are recorded if and only if their change is", async () => {
    expect(await leftBehind((auth) => auth.publish)).toBe(0);
  });

  test("mutant: recording in another transaction is noticed", async () => {
    const left = await leftBehind(({ database, publish }) =>
      Object.assign(
        ((_tx, schema, message) => database.transaction((other) => publish(other, schema, message))) as typeof publish,
        publish,
      ),
    );
    expect(left).toBe(1);
  });
});
