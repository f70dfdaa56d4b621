import { describe, expect, test } from "bun:test";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { FaceVectorCreatedSchema } from "../../../gen/muin/face/v1/enrolment_events_pb.ts";
import { AuthService } from "../../../gen/muin/identity/v1/auth_service_pb.ts";
import { CredentialService } from "../../../gen/muin/identity/v1/credential_service_pb.ts";
import { PersonKeyService } from "../../../gen/muin/identity/v1/person_key_service_pb.ts";
import { Role, UserStatus } from "../../../gen/muin/identity/v1/user_pb.ts";
import { UserStatusChangedSchema, UserUpdatedSchema } from "../../../gen/muin/identity/v1/user_events_pb.ts";
import { mutantOf, outcomeOf, personOfToken, service, startAuth, type AuthFixture } from "../auth-fixture.ts";
import { scopes } from "../../../gen/scopes.ts";

const ada = { email: "ada@example.org", password: "correct horse battery", displayName: "Ada" };
const suspended = "PermissionDenied ACCOUNT_SUSPENDED";

/** Tells auth of a person's status, as user does. */
function tell(auth: AuthFixture, userId: string, status: UserStatus, version: bigint, id?: string): Promise<string> {
  return auth.deliver(UserStatusChangedSchema, { userId, status, aggregateVersion: version }, id);
}

const namesOf = async (auth: AuthFixture): Promise<string[]> =>
  (await auth.events()).map((event) => event.$typeName.replace("muin.identity.v1.", ""));

describe("roles", () => {
  test("come from user, all at once, give scopes from the next refresh on, and an older event changes nothing", async () => {
    await using auth = await startAuth();
    const client = auth.as(AuthService);
    const { userId, tokens } = await auth.signUp(ada);
    const scopesAfter = async (version: bigint, ...roleAssignments: { role: Role; branchId?: string }[]) => {
      await auth.deliver(UserUpdatedSchema, { userId, roleAssignments, aggregateVersion: version });
      const signedIn = await client.signIn(ada);
      return [...personOfToken(signedIn.tokens?.accessToken ?? "").scopes];
    };
    expect(await scopesAfter(2n, { role: Role.ADMINISTRATOR })).toEqual([...scopes]);
    const refreshed = await client.refreshToken({ refreshToken: tokens?.refreshToken ?? "" });
    expect([...personOfToken(refreshed.tokens?.accessToken ?? "").scopes]).toEqual([...scopes]);
    expect(await scopesAfter(2n)).toEqual([...scopes]);
    expect(await scopesAfter(1n)).toEqual([...scopes]);
    // Of one branch, no role gives a scope; a role of a later version is left out.
    expect(
      await scopesAfter(
        3n,
        { role: Role.ADMINISTRATOR, branchId: "b1" },
        { role: Role.HELPER, branchId: "b1" },
        { role: Role.HELPER, branchId: "b2" },
        { role: 99 as Role },
      ),
    ).toEqual([]);
    const rows = await auth.database.sql<{ kept: string }[]>`
      SELECT role || '@' || branch_id AS kept FROM role_assignments ORDER BY 1`;
    expect(rows.map(({ kept }) => kept)).toEqual(["administrator@b1", "helper@b1", "helper@b2"]);
  });

  test("do not change what is told of the sign-up when it is told again", async () => {
    await using auth = await startAuth();
    const { userId } = await auth.signUp(ada);
    await auth.deliver(UserUpdatedSchema, {
      userId,
      roleAssignments: [{ role: Role.OWNER, branchId: "" }],
      aggregateVersion: 1n,
    });
    await auth.extras.find((extra) => extra.part === "republisher")?.republish();
    const [first, again] = await auth.events();
    expect([first, again]).toMatchObject([
      { userId, roles: ["member"], aggregateVersion: 1n },
      { userId, roles: ["member"], aggregateVersion: 1n },
    ]);
  });

  test("mutant: without its version an older event of roles wins", async () => {
    const definition = await mutantOf(
      "account/store-postgres.ts",
      "AND (roles_epoch, roles_version) < (${epoch}, ${version.toString()}) RETURNING",
      "RETURNING",
    );
    await using auth = await startAuth({ definition });
    const { userId } = await auth.signUp(ada);
    for (const [role, aggregateVersion] of [
      [Role.MEMBER, 2n],
      [Role.ADMINISTRATOR, 1n],
    ] as const) {
      await auth.deliver(UserUpdatedSchema, { userId, roleAssignments: [{ role }], aggregateVersion });
    }
    const { tokens } = await auth.as(AuthService).signIn(ada);
    expect(personOfToken(tokens?.accessToken ?? "").scopes.size).toBeGreaterThan(0);
  });
});

describe("suspension", () => {
  test("ends every session and refuses sign-in, but only to who knows the password, until the person is admitted again", async () => {
    await using auth = await startAuth();
    const client = auth.as(AuthService);
    const { userId, tokens } = await auth.signUp(ada);
    const second = await client.signIn(ada);
    await auth.signUp({ ...ada, email: "bob@example.org" });
    const suspension = { userId, status: UserStatus.SUSPENDED, aggregateVersion: 1n, principal: "api_key:support" };
    const id = await auth.deliver(UserStatusChangedSchema, suspension);
    expect(await namesOf(auth)).toEqual(["UserCreated", "UserCreated", "SessionRevoked", "SessionRevoked"]);
    for (const { refreshToken } of [tokens, second.tokens!]) {
      expect(await outcomeOf(client.refreshToken({ refreshToken }))).toBe("Unauthenticated REFRESH_TOKEN_INVALID");
    }
    expect(await outcomeOf(client.signIn(ada))).toBe(suspended);
    expect(await outcomeOf(client.signIn({ ...ada, password: "wrong horse" }))).toBe(
      "Unauthenticated CREDENTIALS_INVALID",
    );
    expect(await outcomeOf(client.signIn({ ...ada, email: "bob@example.org" }))).toBe("done");

    await tell(auth, userId, UserStatus.ACTIVE, 2n);
    expect(await outcomeOf(client.signIn(ada))).toBe("done");
    // Neither the same event again nor an older one takes effect.
    await tell(auth, userId, UserStatus.SUSPENDED, 1n, id);
    await tell(auth, userId, UserStatus.SUSPENDED, 2n);
    await tell(auth, userId, 99 as UserStatus, 3n);
    await tell(auth, "nobody", UserStatus.SUSPENDED, 3n);
    expect(await outcomeOf(client.signIn(ada))).toBe("done");
    const acts = await auth.database.sql<{ act: string }[]>`
      SELECT action || ' ' || principal || ' ' || subject AS act FROM audit_log WHERE action LIKE '%_PERSON' ORDER BY audit_id`;
    expect(acts.map(({ act }) => act)).toEqual([
      `SUSPEND_PERSON api_key:support person:${userId}`,
      `ADMIT_PERSON service:auth person:${userId}`,
    ]);
  });

  test("a sign-in under way when it comes opens nothing", async () => {
    await using auth = await startAuth({ config: { argon2Concurrent: 1 } });
    const client = auth.as(AuthService);
    const { userId } = await auth.signUp(ada);
    const signIns = Array.from({ length: 20 }, () => outcomeOf(client.signIn(ada)));
    await tell(auth, userId, UserStatus.SUSPENDED, 1n);
    await Promise.all(signIns);
    const live = await auth.database.sql`SELECT 1 FROM sessions WHERE end_time IS NULL`;
    expect(live).toHaveLength(0);
  });

  test.each([
    [
      "sessions go on",
      "if (isSuspended) await deps.sessions.endAll(tx, userId);",
      "",
      { sessions: 1, status: "SUSPENDED" },
    ],
    ["an older event counts", "!isNewer(version, account.statusVersion)", "false", { sessions: 0, status: "ACTIVE" }],
  ])("mutant: %s", async (_, from, to, left) => {
    await using auth = await startAuth({ definition: await mutantOf("account/person.ts", from, to) });
    const { userId } = await auth.signUp(ada);
    await tell(auth, userId, UserStatus.SUSPENDED, 2n);
    await tell(auth, userId, UserStatus.ACTIVE, 1n);
    const { database } = auth;
    const [row] = await database.sql`
      SELECT (SELECT count(*)::int FROM sessions WHERE end_time IS NULL) AS sessions, status FROM accounts`;
    expect(row).toEqual(left);
  });
});

describe("deletion", () => {
  test("leaves nothing of the person but their key and ids in the audit log, and says so, as often as it is asked", async () => {
    await using auth = await startAuth();
    const client = auth.as(AuthService);
    const { userId, tokens } = await auth.signUp(ada);
    const { userId: bob } = await auth.signUp({ ...ada, email: "bob@example.org" });
    await outcomeOf(client.signIn({ ...ada, password: "wrong horse" }));
    await client.signUp(ada); // Whoever it was.
    const consent = { textVersion: "3", time: timestampFromMs(1) };
    for (const [enrolmentId, memberId] of [
      ["e1", userId],
      ["e2", bob],
    ] as const) {
      await auth.deliver(FaceVectorCreatedSchema, {
        enrolmentId,
        memberId,
        modelId: "m",
        consent,
        aggregateVersion: 1n,
      });
    }
    await auth.as(CredentialService).requestPasswordReset({ email: ada.email });
    await auth.mails();
    await auth.as(CredentialService).requestPasswordReset({ email: ada.email });
    await auth.database.sql`INSERT INTO totp_factors VALUES (${userId}, 'x', now(), now(), 0)`;
    await auth.database.sql`INSERT INTO recovery_codes VALUES (${userId}, ${Buffer.alloc(32)})`;
    await auth.database.sql`INSERT INTO sign_in_challenges VALUES (${Buffer.alloc(32)}, ${userId}, now())`;
    await auth.database.sql`INSERT INTO scope_grants VALUES (${userId}, 'counts.read', now())`;
    const keys = auth.as(PersonKeyService, { caller: service });
    expect(await outcomeOf(keys.destroyPersonKey({ personId: userId }))).toBe("FailedPrecondition ACCOUNT_EXISTS");

    await tell(auth, userId, UserStatus.DELETED, 7n);
    const sessionId = personOfToken(tokens?.accessToken ?? "").sessionId;
    const events = await auth.events();
    expect(events.slice(-2)).toMatchObject([
      { $typeName: "muin.identity.v1.SessionRevoked", sessionId },
      { $typeName: "muin.identity.v1.UserDataErased", userId, service: "auth", aggregateVersion: 7n },
    ]);
    // Every table but those that are told of: nothing in them names the person.
    const tables = await auth.database.sql<{ name: string }[]>`
      SELECT relname AS name FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')
        AND NOT relispartition ORDER BY 1`;
    const naming: string[] = [];
    for (const { name } of tables) {
      const rows = await auth.database.sql<{ row: string }[]>`SELECT t::text AS row FROM ${auth.database.sql(name)} t`;
      if (rows.some(({ row }) => row.includes(userId) || row.includes("ada@"))) naming.push(name);
    }
    expect(naming).toEqual(["audit_log", "person_keys"]);
    const kept = await auth.database.sql<{ act: string; whence: string }[]>`
      SELECT action || ' ' || outcome AS act, address || user_agent AS whence FROM audit_log
      WHERE principal = ${`person:${userId}`} OR subject LIKE 'email:%' OR subject = ${`person:${userId}`} ORDER BY audit_id`;
    expect(kept).toEqual([
      { act: "REQUEST_SIGN_UP DONE", whence: "" },
      { act: "SIGN_UP DONE", whence: "" },
      { act: "REQUEST_SIGN_UP DONE", whence: "192.0.2.1test/1" }, // Bob's.
      { act: "SIGN_IN REFUSED", whence: "" },
      { act: "REQUEST_SIGN_UP DONE", whence: "" },
      { act: "REQUEST_PASSWORD_RESET DONE", whence: "" },
      { act: "REQUEST_PASSWORD_RESET DONE", whence: "" },
      { act: "ERASE_PERSON DONE", whence: "" },
    ] as never);
    const [other] = await auth.database.sql<{ address: string }[]>`
      SELECT address FROM audit_log WHERE principal = ${`person:${bob}`}`;
    expect(other?.address).toBe("192.0.2.1");

    expect(await outcomeOf(client.signIn(ada))).toBe("Unauthenticated CREDENTIALS_INVALID");
    await tell(auth, userId, UserStatus.DELETED, 7n);
    await auth.deliver(UserUpdatedSchema, { userId, roleAssignments: [{ role: Role.OWNER }], aggregateVersion: 9n });
    await auth.deliver(FaceVectorCreatedSchema, { enrolmentId: "e3", memberId: userId, aggregateVersion: 1n });
    expect((await namesOf(auth)).slice(events.length)).toEqual(["UserDataErased"]);
    await keys.destroyPersonKey({ personId: userId });
    expect((await keys.getPersonKeys({ personIds: [userId] })).personKeys).toMatchObject([{ destroyed: true }]);
    // The address is free for somebody new.
    const again = await auth.signUp(ada);
    expect(again.userId).not.toBe(userId);
  });

  test("is whole or not at all", async () => {
    await using auth = await startAuth();
    const client = auth.as(AuthService);
    const { userId } = await auth.signUp(ada);
    await auth.database
      .sql`ALTER TABLE platform.outbox ADD CONSTRAINT none CHECK (type NOT LIKE '%UserDataErased') NOT VALID`;
    expect(await tell(auth, userId, UserStatus.DELETED, 1n).catch(() => "failed")).toBe("failed");
    expect(await outcomeOf(client.signIn(ada))).toBe("done");
    await auth.database.sql`ALTER TABLE platform.outbox DROP CONSTRAINT none`;
    await tell(auth, userId, UserStatus.DELETED, 1n);
    expect(await outcomeOf(client.signIn(ada))).toBe("Unauthenticated CREDENTIALS_INVALID");
  });

  test("blanks no row of the audit log of a person who is there, and changes no other column", async () => {
    await using auth = await startAuth();
    await auth.signUp(ada);
    const attempts = await Promise.allSettled([
      auth.database.sql`UPDATE audit_log SET address = '', user_agent = ''`,
      auth.database.sql`DELETE FROM accounts`.then(
        () => auth.database.sql`UPDATE audit_log SET address = '', user_agent = '', detail = 'x'`,
      ),
    ]);
    expect(attempts.map((attempt) => attempt.status === "rejected" && String(attempt.reason))).toEqual(
      Array<string>(2).fill("PostgresError: audit_log is append-only"),
    );
  });
});
