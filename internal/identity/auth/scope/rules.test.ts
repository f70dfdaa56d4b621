import { describe, expect, test } from "bun:test";
import { AuthService } from "../../../gen/muin/identity/v1/auth_service_pb.ts";
import { Role, UserStatus } from "../../../gen/muin/identity/v1/user_pb.ts";
import { UserStatusChangedSchema, UserUpdatedSchema } from "../../../gen/muin/identity/v1/user_events_pb.ts";
import { ScopeService } from "../../../gen/muin/identity/v1/scope_service_pb.ts";
import type { Caller } from "../../../platform/identity/caller.ts";
import type { ServiceInfo } from "../../../platform/service/define-service.ts";
import { mutantOf, outcomeOf, personOfToken, service, startAuth, type AuthFixture } from "../auth-fixture.ts";
import { auth as real } from "../definition.ts";
import { scopes } from "../../../gen/scopes.ts";

const ada = { email: "ada@example.org", password: "correct horse battery" };

const holderOf = (...held: string[]): Caller => ({
  kind: "api_key",
  id: "k",
  principal: "api_key:k",
  scopes: new Set(held),
});

/** What the tokens of a new sign-in carry. */
const scopesNow = async (auth: AuthFixture): Promise<string[]> => {
  const { tokens } = await auth.as(AuthService).signIn(ada);
  return [...personOfToken(tokens?.accessToken ?? "").scopes];
};

/** What comes of somebody giving a scope that they do not hold. */
async function givenUnheld(definition: ServiceInfo): Promise<string> {
  await using auth = await startAuth({ definition });
  const { userId } = await auth.signUp(ada);
  const manager = auth.as(ScopeService, { caller: holderOf("scopes.manage") });
  return await outcomeOf(manager.grantScopes({ userId, scopes: ["keys.manage"] }));
}

describe("scopes of a person", () => {
  test("are given and taken back, show from the next refresh on, and are recorded", async () => {
    await using auth = await startAuth();
    const client = auth.as(AuthService);
    const { userId, tokens } = await auth.signUp(ada);
    const administration = auth.as(ScopeService, { caller: holderOf(...scopes) });
    const granted = await administration.grantScopes({ userId, scopes: ["users.read", "counts.read"] });
    expect(granted.personScopes).toMatchObject({
      userId,
      scopes: ["counts.read", "users.read"],
      grantedScopes: ["counts.read", "users.read"],
      roleScopes: [],
    });
    const refreshed = await client.refreshToken({ refreshToken: tokens?.refreshToken ?? "" });
    expect([...personOfToken(refreshed.tokens?.accessToken ?? "").scopes]).toEqual(["counts.read", "users.read"]);
    const { scopes: held } = await auth.as(ScopeService, { caller: service }).getHeldScopes({ userId });
    expect(held).toEqual(["counts.read", "users.read"]);
    // Given twice is given once, and taken back is gone.
    await administration.grantScopes({ userId, scopes: ["counts.read"] });
    await administration.revokeScopes({ userId, scopes: ["counts.read", "counts.write"] });
    expect(await scopesNow(auth)).toEqual(["users.read"]);

    // What a role gives stays while it gives it.
    const roleAssignments = [{ role: Role.ADMINISTRATOR }];
    await auth.deliver(UserUpdatedSchema, { userId, roleAssignments, aggregateVersion: 1n });
    const revoked = await administration.revokeScopes({ userId, scopes: ["users.read"] });
    expect(revoked.personScopes).toMatchObject({ grantedScopes: [], roleScopes: [...scopes], scopes: [...scopes] });
    expect((await administration.getScopes({ userId })).personScopes).toEqual(revoked.personScopes);
    const asService = auth.as(ScopeService, { caller: service });
    expect((await asService.getHeldScopes({ userId })).scopes).toEqual([...scopes]);
    expect((await asService.getHeldScopes({ userId: "nobody" })).scopes).toEqual([]);

    const acts = await auth.database.sql<{ act: string }[]>`
      SELECT action || ' ' || principal || ' ' || subject || ' ' || detail AS act FROM audit_log
      WHERE action LIKE '%_SCOPES' ORDER BY audit_id`;
    const whom = `api_key:k person:${userId}`;
    expect(acts.map(({ act }) => act)).toEqual([
      `GRANT_SCOPES ${whom} users.read counts.read`,
      `REVOKE_SCOPES ${whom} counts.read`,
      `REVOKE_SCOPES ${whom} users.read`,
    ]);
  });

  test("are given by nobody who does not hold them, and to nobody who is not there", async () => {
    await using auth = await startAuth();
    const { userId } = await auth.signUp(ada);
    const some = auth.as(ScopeService, { caller: holderOf("scopes.manage", "counts.read") });
    const notHeld = "PermissionDenied SCOPE_MISSING";
    expect(await outcomeOf(some.grantScopes({ userId, scopes: ["counts.read", "counts.write"] }))).toBe(notHeld);
    expect(await outcomeOf(some.revokeScopes({ userId, scopes: ["keys.manage"] }))).toBe(notHeld);
    expect(await outcomeOf(some.grantScopes({ userId, scopes: ["no.such"] }))).toBe("InvalidArgument FIELD_INVALID");
    for (const nobody of ["nobody", "0199c5f2-6f0c-7aa0-8d6e-0a4f3a6b1c55"]) {
      const request = { userId: nobody, scopes: ["counts.read"] };
      const notFound = "NotFound USER_NOT_FOUND";
      expect(await outcomeOf(some.grantScopes(request))).toBe(notFound);
      expect(await outcomeOf(some.revokeScopes(request))).toBe(notFound);
      expect(await outcomeOf(some.getScopes(request))).toBe(notFound);
    }
    expect(await scopesNow(auth)).toEqual([]);
    const { scopes: listed } = await some.listScopes({});
    expect(listed).toMatchObject(scopes.map((scope) => ({ scope, roles: ["administrator"] })));
  });

  test("go with the person, and one that this version does not know is none", async () => {
    await using auth = await startAuth();
    const { userId } = await auth.signUp(ada);
    await auth.database
      .sql`INSERT INTO scope_grants VALUES (${userId}, 'counts.read', now()), (${userId}, 'older', now())`;
    expect(await scopesNow(auth)).toEqual(["counts.read"]);
    await auth.deliver(UserStatusChangedSchema, { userId, status: UserStatus.DELETED, aggregateVersion: 1n });
    expect(await auth.database.sql`SELECT 1 FROM scope_grants`).toHaveLength(0);
  });

  test("mutant: without the check anybody gives everything", async () => {
    const mutant = await mutantOf(
      "scope/rules.ts",
      'if (!held.has(scope)) return refuse("scopeMissing", { scope });',
      "",
    );
    expect([await givenUnheld(real), await givenUnheld(mutant)]).toEqual([expect.not.stringMatching(/^done$/), "done"]);
  });
});
