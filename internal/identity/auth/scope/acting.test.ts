import { expect, test } from "bun:test";
import { ApiKeyService } from "../../../gen/muin/identity/v1/api_key_service_pb.ts";
import { CredentialService } from "../../../gen/muin/identity/v1/credential_service_pb.ts";
import { ScopeService } from "../../../gen/muin/identity/v1/scope_service_pb.ts";
import { scopes } from "../../../gen/scopes.ts";
import { systemRandom } from "../../../platform/clock/random.ts";
import type { Caller } from "../../../platform/identity/caller.ts";
import type { ServiceInfo } from "../../../platform/service/define-service.ts";
import { mutantOf, newAdministrator, outcomeOf, startAuth, type AuthFixture } from "../auth-fixture.ts";
import { auth as real } from "../definition.ts";

interface Target {
  readonly userId: string;
  readonly apiKeyId: string;
}
type Way = (auth: AuthFixture, caller: Caller, target: Target) => Promise<unknown>;

/** Every way in which somebody acts on another person. */
const ways: Readonly<Record<string, Way>> = {
  resetTotp: (auth, caller, { userId }) => auth.as(CredentialService, { caller }).resetTotp({ userId }),
  revokeApiKey: (auth, caller, { apiKeyId }) => auth.as(ApiKeyService, { caller }).revokeApiKey({ apiKeyId }),
  grantScopes: (auth, caller, { userId }) =>
    auth.as(ScopeService, { caller }).grantScopes({ userId, scopes: ["counts.read"] }),
  revokeScopes: (auth, caller, { userId }) =>
    auth.as(ScopeService, { caller }).revokeScopes({ userId, scopes: ["counts.read"] }),
};

const keyWith = (held: readonly string[], id: string = systemRandom.uuid()): Caller => ({
  kind: "api_key",
  id,
  principal: `api_key:${id}`,
  scopes: new Set(held),
});

/** An administrator, or somebody who was given scopes alone; and a key of theirs. */
async function newTarget(auth: AuthFixture, how: "role" | "grant"): Promise<Target> {
  const admin = await newAdministrator(auth, `${how}@example.org`);
  const { apiKey } = await auth
    .as(ApiKeyService, { caller: admin })
    .createApiKey({ displayName: "x", scopes: ["counts.read"] });
  if (how === "grant") {
    await auth.database.sql`INSERT INTO scope_grants SELECT ${admin.id}, unnest(${[...scopes]}::text[]), now()`;
    await auth.database.sql`DELETE FROM role_assignments WHERE user_id = ${admin.id}`;
  }
  return { userId: admin.id, apiKeyId: apiKey?.apiKeyId ?? "" };
}

/** What goes through on who holds every scope, by a caller who lacks one; and what does not, by one who lacks none. */
async function wronglyDone(definition: ServiceInfo): Promise<readonly string[]> {
  await using auth = await startAuth({ definition });
  const wrong: string[] = [];
  for (const how of ["role", "grant"] as const) {
    const target = await newTarget(auth, how);
    for (const [name, way] of Object.entries(ways)) {
      for (const scope of scopes) {
        const caller = keyWith(scopes.filter((each) => each !== scope));
        const outcome = await outcomeOf(way(auth, caller, target));
        const isGiven = scope === "counts.read" && outcome === "PermissionDenied SCOPE_MISSING";
        if (outcome !== "PermissionDenied PERSON_HOLDS_MORE" && !isGiven)
          wrong.push(`${name} without ${scope}: ${outcome}`);
      }
      const whole = await outcomeOf(way(auth, keyWith(scopes), target));
      if (whole.startsWith("PermissionDenied")) wrong.push(`${name} with every scope: ${whole}`);
    }
  }
  return wrong;
}

test("acting on who holds every scope, by role or by grant, needs every scope", async () => {
  expect(await wronglyDone(real)).toEqual([]);
});

test.each([
  ["resetTotp", "factor/rules.ts", "if (excess !== undefined) return excess;", ""],
  ["grantScopes", "scope/rules.ts", "if (excess !== undefined) return excess;", ""],
  [
    "revokeApiKey",
    "api-key/rules.ts",
    "const excess = refusalToActOn(caller, key.ownerId, needed);",
    "const excess = undefined;",
  ],
])("mutant: %s by who lacks a scope", async (name, file, from, to) => {
  expect((await wronglyDone(await mutantOf(file, from, to))).join()).toContain(name);
});

test("a key ends another of its owner's that gives no more than it does, and an owner each of their own", async () => {
  await using auth = await startAuth();
  const admin = await newAdministrator(auth);
  const own = { ...admin, scopes: new Set(["keys.manage"]) }; // They have just lost the others.
  const make = async (...held: string[]): Promise<string> => {
    const { apiKey } = await auth.as(ApiKeyService, { caller: admin }).createApiKey({ displayName: "x", scopes: held });
    return apiKey?.apiKeyId ?? "";
  };
  const held = ["keys.manage", "counts.read"];
  const key = keyWith(held, await make(...held));
  const end = async (caller: Caller, apiKeyId: string) =>
    outcomeOf(auth.as(ApiKeyService, { caller }).revokeApiKey({ apiKeyId }));
  expect(await end(key, await make("counts.read"))).toBe("done");
  expect(await end(key, await make("counts.read", "counts.write"))).toBe("PermissionDenied PERSON_HOLDS_MORE");
  expect(await end(own, await make("counts.write"))).toBe("done");
  expect(await end(keyWith(held), await make("counts.read"))).toBe("PermissionDenied PERSON_HOLDS_MORE");
});
