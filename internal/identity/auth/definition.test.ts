import { describe, expect, test } from "bun:test";
import { isMessage } from "@bufbuild/protobuf";
import { AuthService } from "../../gen/muin/identity/v1/auth_service_pb.ts";
import { CredentialService } from "../../gen/muin/identity/v1/credential_service_pb.ts";
import { PersonKeyService } from "../../gen/muin/identity/v1/person_key_service_pb.ts";
import { UserCreatedSchema, UserProfileSchema } from "../../gen/muin/identity/v1/user_events_pb.ts";
import { openPersonal } from "../../shared/person/person-seal.ts";
import { service, startAuth, type AuthFixture } from "./auth-fixture.ts";

const ada = { email: "ada@example.org", password: "correct horse battery", displayName: "Ada" };
const dayMs = 86_400_000;

const republish = (auth: AuthFixture): Promise<number> | undefined =>
  auth.extras.find((extra) => extra.part === "republisher")?.republish();

describe("auth", () => {
  test("publishes every account again at its version, except those of erased people", async () => {
    await using auth = await startAuth();
    const { userId } = await auth.signUp(ada);
    const erased = await auth.signUp({ ...ada, email: "bob@example.org" });
    await auth.database.sql`
      UPDATE person_keys SET key_sealed = NULL, destroy_time = now() WHERE person_id = ${erased.userId}`;
    expect(await republish(auth)).toBe(1);
    const [first, , again] = await auth.events();
    if (!isMessage(first, UserCreatedSchema) || !isMessage(again, UserCreatedSchema))
      throw new Error("not UserCreated");
    const plain = { userId, roles: ["member"], aggregateVersion: 1n, time: first.time };
    expect([first, again]).toMatchObject([plain, plain]);
    const keys = auth.as(PersonKeyService, { caller: service });
    const key = (await keys.getPersonKeys({ personIds: [userId] })).personKeys[0]?.key ?? new Uint8Array();
    expect(openPersonal(UserProfileSchema, again.profile!, key)).toEqual(
      openPersonal(UserProfileSchema, first.profile!, key),
    );
  });

  test("publishes more accounts again than fit in one transaction", async () => {
    await using auth = await startAuth();
    await auth.signUp(ada);
    await auth.database.sql`
      INSERT INTO accounts SELECT gen_random_uuid(), n || '@example.org', '', '', 1, now(), now() FROM generate_series(1, 450) n`;
    expect(await republish(auth)).toBe(1); // The others have no key.
  });

  test("removes what has ended, and nothing else", async () => {
    await using auth = await startAuth({ config: { refreshTokenLifeMs: 3 * dayMs } });
    const client = auth.as(AuthService);
    await auth.signUp(ada);
    await client.signIn({ ...ada, password: "wrong horse" }).catch(() => undefined);
    await auth.as(CredentialService).requestPasswordReset(ada);
    const counts = async (): Promise<unknown> => {
      const [row] = await auth.database.sql`
        SELECT (SELECT count(*)::int FROM sessions) AS sessions, (SELECT count(*)::int FROM sign_in_failures) AS failures,
          (SELECT count(*)::int FROM familiar_networks) AS networks, (SELECT count(*)::int FROM accounts) AS accounts,
          (SELECT count(*)::int FROM network_quotas) AS quotas`;
      return row;
    };
    await auth.prune();
    expect(await counts()).toEqual({ sessions: 1, failures: 1, networks: 1, accounts: 1, quotas: 5 });
    auth.clock.advance(dayMs);
    await auth.prune();
    expect(await counts()).toEqual({ sessions: 1, failures: 0, networks: 1, accounts: 1, quotas: 0 });
    auth.clock.advance(2.5 * dayMs);
    await auth.prune();
    expect(await counts()).toEqual({ sessions: 1, failures: 0, networks: 1, accounts: 1, quotas: 0 });
    auth.clock.advance(dayMs);
    await auth.prune();
    expect(await counts()).toEqual({ sessions: 0, failures: 0, networks: 1, accounts: 1, quotas: 0 });
    auth.clock.advance(26 * dayMs);
    await auth.prune();
    expect(await counts()).toEqual({ sessions: 0, failures: 0, networks: 0, accounts: 1, quotas: 0 });
  });
});
