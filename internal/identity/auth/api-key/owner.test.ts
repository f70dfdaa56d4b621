import { describe, expect, test } from "bun:test";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { ApiKeyService } from "../../../gen/muin/identity/v1/api_key_service_pb.ts";
import { ScopeService } from "../../../gen/muin/identity/v1/scope_service_pb.ts";
import { Role, UserStatus } from "../../../gen/muin/identity/v1/user_pb.ts";
import { UserStatusChangedSchema, UserUpdatedSchema } from "../../../gen/muin/identity/v1/user_events_pb.ts";
import type { Caller } from "../../../platform/identity/caller.ts";
import type { ServiceInfo } from "../../../platform/service/define-service.ts";
import { mutantOf, newAdministrator, outcomeOf, service, startAuth, type AuthFixture } from "../auth-fixture.ts";
import { auth as real } from "../definition.ts";
import { secretHashOf } from "./secret.ts";

const shop = { displayName: "Web shop", scopes: ["counts.read", "counts.write"] };
const dayMs = 86_400_000;

/** The scopes that a key gives now, or how it is refused. */
async function scopesOfKey(auth: AuthFixture, secret: string): Promise<readonly string[] | string> {
  const verify = auth.as(ApiKeyService, { caller: service }).verifyApiKey({ secretHash: secretHashOf(secret) });
  const outcome = await outcomeOf(verify);
  return outcome === "done" ? ((await verify).apiKey?.scopes ?? []) : outcome;
}

const namesOf = async (auth: AuthFixture): Promise<readonly string[]> =>
  (await auth.events()).map((event) => event.$typeName.replace("muin.identity.v1.", ""));

describe("an API key", () => {
  test("belongs to who made it, and one that it makes too; it ends after 90 days unless somebody says otherwise", async () => {
    await using auth = await startAuth();
    const admin = await newAdministrator(auth);
    const mine = auth.as(ApiKeyService, { caller: admin });
    const { apiKey } = await mine.createApiKey({ ...shop, scopes: ["keys.manage", "counts.read"] });
    const id = apiKey?.apiKeyId ?? "";
    const key: Caller = {
      kind: "api_key",
      id,
      principal: `api_key:${id}`,
      scopes: new Set(["keys.manage", "counts.read"]),
    };
    const its = auth.as(ApiKeyService, { caller: key });
    await its.createApiKey({ ...shop, scopes: ["counts.read"], noEnd: true });
    expect(await outcomeOf(its.createApiKey(shop))).toBe("PermissionDenied SCOPE_MISSING");
    const listed = (await mine.listApiKeys({})).apiKeys.map(({ ownerId, createTime, expireTime }) => [
      ownerId,
      expireTime && createTime && Math.round((timestampMs(expireTime) - timestampMs(createTime)) / dayMs),
    ]);
    expect(listed).toEqual([
      [admin.id, undefined],
      [admin.id, 90],
    ]);
    const stranger: Caller = { ...key, id: "0199c5f2-6f0c-7aa0-8d6e-0a4f3a6b1c55" };
    expect(
      await outcomeOf(auth.as(ApiKeyService, { caller: stranger }).createApiKey({ ...shop, scopes: ["counts.read"] })),
    ).toBe("Unauthenticated API_KEY_INVALID");
  });

  test("is not made for who is suspended", async () => {
    await using auth = await startAuth();
    const admin = await newAdministrator(auth);
    await auth.deliver(UserStatusChangedSchema, {
      userId: admin.id,
      status: UserStatus.SUSPENDED,
      aggregateVersion: 3n,
    });
    expect(await outcomeOf(auth.as(ApiKeyService, { caller: admin }).createApiKey(shop))).toBe(
      "PermissionDenied ACCOUNT_SUSPENDED",
    );
  });
});

/** What a key gives while its owner, who was given its scopes, loses one, is suspended and is admitted again; and the keys that were told of. */
async function lifeWithOwner(definition: ServiceInfo) {
  await using auth = await startAuth({ definition });
  const admin = await newAdministrator(auth);
  const { userId, tokens: _ } = await auth.signUp({ email: "ada@example.org", password: "correct horse battery" });
  const scopes = auth.as(ScopeService, { caller: admin });
  await scopes.grantScopes({ userId, scopes: ["keys.manage", "counts.read", "counts.write"] });
  const held = new Set<string>(["keys.manage", "counts.read", "counts.write", "counts.manage"]); // One more than is theirs by now.
  const caller: Caller = { kind: "person", id: userId, principal: `person:${userId}`, sessionId: "s", scopes: held };
  const mine = auth.as(ApiKeyService, { caller });
  const { secret } = await mine.createApiKey(shop);
  await mine.createApiKey({ ...shop, noEnd: true });
  const excess = await outcomeOf(mine.createApiKey({ ...shop, scopes: ["counts.manage"] }));
  const whole = await scopesOfKey(auth, secret);
  await scopes.revokeScopes({ userId, scopes: ["counts.write"] });
  const less = await scopesOfKey(auth, secret);
  const suspension = { userId, status: UserStatus.SUSPENDED, aggregateVersion: 2n, principal: "person:boss" };
  await auth.deliver(UserStatusChangedSchema, suspension);
  const suspended = await scopesOfKey(auth, secret);
  await auth.deliver(UserStatusChangedSchema, { userId, status: UserStatus.ACTIVE, aggregateVersion: 3n });
  const admitted = await scopesOfKey(auth, secret);
  const acts = await auth.database
    .sql`SELECT 1 FROM audit_log WHERE action = 'REVOKE_API_KEY' AND principal = 'person:boss'`;
  const told = (await namesOf(auth)).filter((name) => name === "ApiKeyRevoked").length;
  return { excess, whole, less, suspended, admitted, told, acts: acts.length };
}

const ended = "Unauthenticated API_KEY_INVALID";
const asItMust = {
  excess: "PermissionDenied SCOPE_MISSING",
  whole: ["counts.read", "counts.write"],
  less: ["counts.read"],
  suspended: ended,
  admitted: ended,
  told: 2,
  acts: 2,
};

test("a key gives what its owner holds, and ends for good with a suspension, each told by an event", async () => {
  expect(await lifeWithOwner(real)).toEqual(asItMust);
});

test.each([
  ["whole", "api-key/rules.ts", "const excess = refusalToGive(key.scopes, held);", "const excess = undefined;"],
  ["less", "api-key/rules.ts", "scopes: key.scopes.filter((scope) => held.includes(scope))", "scopes: key.scopes"],
  ["admitted", "account/person.ts", "if (isSuspended || account.isSuspended) {", "if (false) {"],
  ["told", "api-key/rules.ts", "await publishApiKeyRevoked(tx, publish, apiKeyId, version, nowMs);", ""],
])("mutant: a key's owner does not count (%s)", async (_, file, from, to) => {
  expect(await lifeWithOwner(await mutantOf(file, from, to))).not.toEqual(asItMust);
});

/** The events of a deletion of an owner, by name. */
async function toldOfDeletion(definition: ServiceInfo): Promise<readonly string[]> {
  await using auth = await startAuth({ definition });
  const admin = await newAdministrator(auth);
  const { secret } = await auth.as(ApiKeyService, { caller: admin }).createApiKey(shop);
  await auth.deliver(UserStatusChangedSchema, { userId: admin.id, status: UserStatus.DELETED, aggregateVersion: 3n });
  expect(await scopesOfKey(auth, secret)).toBe(ended);
  return (await namesOf(auth)).slice(1);
}

test("a deletion of its owner ends a key by an event, before the account goes", async () => {
  const told = ["SessionRevoked", "ApiKeyRevoked", "UserDataErased"];
  expect(await toldOfDeletion(real)).toEqual(told);
  const from = "await endApiKeysOf(tx, { ...deps, store: apiKeys }, userId, authItself);";
  expect(await toldOfDeletion(await mutantOf("personal-data/rules.ts", from, ""))).not.toEqual(told);
});

test("a key whose owner is no administrator any more gives nothing that the role gave", async () => {
  await using auth = await startAuth();
  const admin = await newAdministrator(auth);
  const { secret } = await auth.as(ApiKeyService, { caller: admin }).createApiKey(shop);
  await auth.deliver(UserUpdatedSchema, {
    userId: admin.id,
    roleAssignments: [{ role: Role.OWNER }],
    aggregateVersion: 3n,
  });
  expect(await scopesOfKey(auth, secret)).toEqual([]);
});
