import { describe, expect, test } from "bun:test";
import { ApiKeyService } from "../../../gen/muin/identity/v1/api_key_service_pb.ts";
import { AuthService } from "../../../gen/muin/identity/v1/auth_service_pb.ts";
import { AuditOutcome, AuditService } from "../../../gen/muin/identity/v1/audit_service_pb.ts";
import { ServiceTokenService } from "../../../gen/muin/identity/v1/service_token_service_pb.ts";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { Caller } from "../../../platform/identity/caller.ts";
import { outcomeOf, personOfToken, startAuth } from "../auth-fixture.ts";
import { scopes } from "../../../gen/scopes.ts";

const ada = { email: "ada@example.org", password: "correct horse battery" };

describe("the audit log", () => {
  test("records who did what, from where and with what outcome", async () => {
    await using auth = await startAuth();
    const from = { address: "192.0.2.7", userAgent: "app/1" };
    const anybody = auth.as(AuthService, from);
    const { userId, tokens } = await auth.signUp(ada, from);
    await outcomeOf(anybody.signIn({ ...ada, password: "wrong horse" }));
    const second = await anybody.signIn(ada);
    await auth.database.sql`INSERT INTO scope_grants VALUES (${userId}, 'counts.read', now())`;
    const me = { ...personOfToken(tokens?.accessToken ?? ""), scopes: new Set<string>(scopes) };
    const mine = auth.as(AuthService, { ...from, caller: me });
    const other = personOfToken(second.tokens?.accessToken ?? "").sessionId;
    await mine.revokeSession({ sessionId: other });
    await mine.changePassword({ currentPassword: ada.password, newPassword: "another horse" });
    const keys = auth.as(ApiKeyService, { ...from, caller: me });
    const { apiKey } = await keys.createApiKey({ displayName: "x", scopes: ["counts.read"] });
    const apiKeyId = apiKey?.apiKeyId ?? "";
    await keys.revokeApiKey({ apiKeyId });
    await auth.as(ServiceTokenService, { ...from, caller: me }).issueServiceToken({ serviceName: "auth" });
    await anybody.refreshToken({ refreshToken: tokens?.refreshToken ?? "" });
    await outcomeOf(auth.as(AuthService).refreshToken({ refreshToken: tokens?.refreshToken ?? "" }));

    const rows = await auth.database.sql<{ act: string; detail: string; address: string; user_agent: string }[]>`
      SELECT action || ' ' || outcome || ' ' || principal || ' ' || subject AS act, detail, address, user_agent
      FROM audit_log ORDER BY audit_id`;
    const person = `person:${userId}`;
    expect(rows.map(({ act }) => act.replace(/(email|signing_key):\S+/, "$1"))).toEqual([
      "REQUEST_SIGN_UP DONE anonymous email",
      `SIGN_UP DONE ${person} ${person}`,
      "CREATE_SIGNING_KEY DONE service:auth signing_key",
      "SIGN_IN REFUSED anonymous email",
      `SIGN_IN DONE ${person} session:${other}`,
      `REVOKE_SESSION DONE ${person} session:${other}`,
      `CHANGE_PASSWORD DONE ${person} ${person}`,
      `CREATE_API_KEY DONE ${person} api_key:${apiKeyId}`,
      `REVOKE_API_KEY DONE ${person} api_key:${apiKeyId}`,
      `ISSUE_SERVICE_TOKEN DONE ${person} service:auth`,
      `REFRESH REFUSED ${person} session:${me.sessionId}`,
    ]);
    expect(rows.find(({ act }) => act.startsWith("CREATE_API_KEY"))).toMatchObject({
      detail: "counts.read",
      address: "192.0.2.7",
      user_agent: "app/1",
    });
    expect(rows.at(-1)).toMatchObject({ detail: "REUSED", address: "192.0.2.1", user_agent: "test/1" });
  });

  test("cannot be rewritten, even by the owner of its table, and keeps its rows for 400 days", async () => {
    await using auth = await startAuth();
    const { sql } = auth.database;
    await auth.signUp(ada);
    const refusals = await Promise.allSettled([
      sql`UPDATE audit_log SET outcome = 'REFUSED'`,
      sql`DELETE FROM audit_log`,
      sql`TRUNCATE audit_log`,
    ]);
    expect(refusals.map((refusal) => refusal.status === "rejected" && String(refusal.reason))).toEqual(
      Array<string>(3).fill("PostgresError: audit_log is append-only"),
    );
    await sql`
      INSERT INTO audit_log (create_time, action, outcome, principal, subject, address, user_agent, detail)
      SELECT now() - days * interval '1 day', 'SIGN_IN', 'DONE', '', '', '', '', days::text FROM unnest(ARRAY[399, 401]) AS days`;
    await auth.prune();
    const rows = await sql<{ detail: string }[]>`SELECT detail FROM audit_log WHERE detail <> ''`;
    expect(rows.map(({ detail }) => detail)).toEqual(["399"]);
  });
});

const auditor: Caller = { kind: "api_key", id: "a", principal: "api_key:a", scopes: new Set(["audit.read"]) };

describe("the audit log can be asked", () => {
  test("by who, to what, which act, its outcome and its time, in pages, newest first", async () => {
    await using auth = await startAuth();
    const startMs = auth.clock.now();
    const anybody = auth.as(AuthService, { address: "192.0.2.7", userAgent: "app/1" });
    const { userId, tokens } = await auth.signUp(ada, { address: "192.0.2.7", userAgent: "app/1" });
    const { userId: bob } = await auth.signUp(
      { ...ada, email: "bob@example.org" },
      { address: "192.0.2.7", userAgent: "app/1" },
    );
    await outcomeOf(anybody.signIn({ ...ada, password: "wrong horse" }));
    auth.clock.advance(60_000);
    const { tokens: later } = await anybody.signIn(ada);
    const person = `person:${userId}`;
    const session = `session:${personOfToken(later?.accessToken ?? "").sessionId}`;
    const log = auth.as(AuditService, { caller: auditor });
    const actsOf = async (filter: Parameters<typeof log.listAuditEvents>[0]): Promise<string[]> =>
      (await log.listAuditEvents(filter)).auditEvents.map(
        ({ action, outcome, subject }) =>
          `${action} ${outcome === AuditOutcome.DONE ? "DONE" : "REFUSED"} ${subject.split(":")[0]}`,
      );
    expect(await actsOf({ principal: person })).toEqual(["SIGN_IN DONE session", "SIGN_UP DONE person"]);
    expect(await actsOf({ subject: session })).toEqual(["SIGN_IN DONE session"]);
    expect(await actsOf({ action: "SIGN_UP" })).toEqual(["SIGN_UP DONE person", "SIGN_UP DONE person"]);
    expect(await actsOf({ outcome: AuditOutcome.REFUSED })).toEqual(["SIGN_IN REFUSED email"]);
    const halfMs = startMs + 30_000;
    expect(await actsOf({ fromTime: timestampFromMs(halfMs) })).toEqual(["SIGN_IN DONE session"]);
    expect(await actsOf({ untilTime: timestampFromMs(halfMs), action: "SIGN_IN" })).toEqual(["SIGN_IN REFUSED email"]);
    expect(await actsOf({ principal: `person:${bob}`, action: "SIGN_IN" })).toEqual([]);
    const whole = await log.listAuditEvents({ subject: session });
    expect(whole.auditEvents).toMatchObject([{ principal: person, address: "192.0.2.7", userAgent: "app/1" }]);

    const all = (await log.listAuditEvents({})).auditEvents.map((event) => event.auditEventId);
    const paged: bigint[] = [];
    for (let pageToken = "", more = true; more; more = pageToken !== "") {
      const page = await log.listAuditEvents({ pageSize: 2, pageToken });
      paged.push(...page.auditEvents.map((event) => event.auditEventId));
      pageToken = page.nextPageToken;
    }
    expect(paged).toEqual(all);
    expect(all.toSorted((a, b) => Number(b - a))).toEqual(all);
    expect(await outcomeOf(log.listAuditEvents({ pageToken: "x" }))).toBe("InvalidArgument PAGE_TOKEN_INVALID");
    expect(tokens).toBeDefined();
  });

  test("by a person for what they did themself, and by no key without the scope", async () => {
    await using auth = await startAuth();
    const { userId, tokens } = await auth.signUp(ada);
    const { userId: bob } = await auth.signUp({ ...ada, email: "bob@example.org" });
    const mine = auth.as(AuditService, { caller: personOfToken(tokens?.accessToken ?? "") });
    const own = await mine.listAuditEvents({});
    expect(own.auditEvents).toMatchObject([{ action: "SIGN_UP", principal: `person:${userId}` }]);
    expect(await mine.listAuditEvents({ principal: `person:${userId}` })).toEqual(own);
    // Another's acts do not come by way of their subject either.
    expect((await mine.listAuditEvents({ subject: `person:${bob}` })).auditEvents).toEqual([]);
    const notYours = "PermissionDenied NOT_YOURS";
    for (const principal of [`person:${bob}`, "person:nobody", "anonymous"]) {
      expect(await outcomeOf(mine.listAuditEvents({ principal }))).toBe(notYours);
    }
    const key: Caller = { ...auditor, scopes: new Set(["keys.manage"]) };
    expect(await outcomeOf(auth.as(AuditService, { caller: key }).listAuditEvents({}))).toBe(notYours);
  });
});
