import { describe, expect, test } from "bun:test";
import { ApiKeyService } from "../../../gen/muin/identity/v1/api_key_service_pb.ts";
import { AuthService } from "../../../gen/muin/identity/v1/auth_service_pb.ts";
import { CredentialService } from "../../../gen/muin/identity/v1/credential_service_pb.ts";
import { systemRandom } from "../../../platform/clock/random.ts";
import { secretHashOf } from "../api-key/secret.ts";
import { UserUpdatedSchema } from "../../../gen/muin/identity/v1/user_events_pb.ts";
import { newAdministrator, outcomeOf, personOfToken, service, startAuth, type AuthFixture } from "../auth-fixture.ts";
import { createAuthSetup, operatorScopes, type AuthSetup } from "./rules.ts";

const admin = { email: "admin@localhost", password: "correct horse battery" };

const setupOf = ({ database, publish, config, clock }: AuthFixture): AuthSetup =>
  createAuthSetup({ database, publish, config, clock, random: systemRandom });

describe("the first administrator", () => {
  test("is made once, also when two start at once, and may do everything", async () => {
    await using auth = await startAuth();
    const made = await Promise.all([
      setupOf(auth).ensureAdministrator(admin),
      setupOf(auth).ensureAdministrator(admin),
    ]);
    expect(made.filter((first) => first)).toHaveLength(1);
    expect(await setupOf(auth).ensureAdministrator({ email: "other@localhost", password: "x" })).toBe(false);
    const { tokens } = await auth.as(AuthService).signIn(admin);
    expect([...personOfToken(tokens?.accessToken ?? "").scopes]).toEqual([...operatorScopes]);
    expect(await auth.events()).toMatchObject([{ roles: ["administrator"] }]);
    const mine = auth.as(CredentialService, { caller: personOfToken(tokens?.accessToken ?? "") });
    expect((await mine.getCredentials({})).credentials?.emailVerifyTime).toBeDefined();
  });

  test("does not take over somebody's account", async () => {
    await using auth = await startAuth();
    await auth.signUp(admin);
    expect(await outcomeOf(setupOf(auth).ensureAdministrator(admin))).not.toBe("done");
    const { tokens } = await auth.as(AuthService).signIn(admin);
    expect(personOfToken(tokens?.accessToken ?? "").scopes.size).toBe(0);
  });
});

describe("a key of the installation", () => {
  test("is kept while its secret is known, and replaced when that was lost or its scopes changed", async () => {
    await using auth = await startAuth();
    const setup = setupOf(auth);
    await setup.ensureAdministrator(admin);
    const services = auth.as(ApiKeyService, { caller: service });
    const isLive = (secret: string): Promise<string> =>
      outcomeOf(services.verifyApiKey({ secretHash: secretHashOf(secret) }));
    const shown = { name: "shown", scopes: ["counts.read"] };
    const first = await setup.ensureApiKey({ ...shown, kept: undefined });
    expect(first.created).toBe(true);
    expect(await setup.ensureApiKey({ ...shown, kept: first.secret })).toEqual({
      secret: first.secret,
      created: false,
    });
    const other = await setup.ensureApiKey({ name: "operator", scopes: operatorScopes, kept: undefined });
    const second = await setup.ensureApiKey({ ...shown, kept: undefined });
    const third = await setup.ensureApiKey({
      name: "shown",
      scopes: ["counts.read", "counts.write"],
      kept: second.secret,
    });
    expect([second.created, third.created]).toEqual([true, true]);
    const secrets = [first, second, third, other].map(({ secret }) => secret);
    expect(await Promise.all(secrets.map(isLive))).toEqual([
      "Unauthenticated API_KEY_INVALID",
      "Unauthenticated API_KEY_INVALID",
      "done",
      "done",
    ]);
    expect((await auth.events()).map((event) => event.$typeName)).toEqual([
      "muin.identity.v1.UserCreated",
      "muin.identity.v1.ApiKeyRevoked",
      "muin.identity.v1.ApiKeyRevoked",
    ]);
  });

  test("belongs to the first administrator, and to the next once that one has gone", async () => {
    await using auth = await startAuth();
    const setup = setupOf(auth);
    const operator = { name: "operator", scopes: operatorScopes };
    expect(await outcomeOf(setup.ensureApiKey({ ...operator, kept: undefined }))).not.toBe("done");
    await setup.ensureAdministrator(admin);
    const first = await setup.ensureApiKey({ ...operator, kept: undefined });
    const { id: next } = await newAdministrator(auth);
    const ownerOf = async ({ secret }: { readonly secret: string }): Promise<string> => {
      const secretHash = secretHashOf(secret);
      const { apiKey } = await auth.as(ApiKeyService, { caller: service }).verifyApiKey({ secretHash });
      return apiKey?.ownerId ?? "";
    };
    const userId = await ownerOf(first);
    expect(userId).not.toBe(next);
    await auth.deliver(UserUpdatedSchema, { userId, roleAssignments: [], aggregateVersion: 3n });
    const second = await setup.ensureApiKey({ ...operator, kept: first.secret });
    expect([second.created, await ownerOf(second)]).toEqual([true, next]);
  });
});
