import { describe, expect, test } from "bun:test";
import { ApiKeyService } from "../../gen/muin/identity/v1/api_key_service_pb.ts";
import { AuthService } from "../../gen/muin/identity/v1/auth_service_pb.ts";
import { ServiceTokenService } from "../../gen/muin/identity/v1/service_token_service_pb.ts";
import { outcomeOf, personOfToken, startAuth } from "./auth-fixture.ts";
import { scopes } from "./role.ts";

const ada = { email: "ada@example.org", password: "correct horse battery" };

describe("the audit log", () => {
  test("records who did what, from where and with what outcome", async () => {
    await using auth = await startAuth();
    const from = { address: "192.0.2.7", userAgent: "app/1" };
    const anybody = auth.as(AuthService, from);
    const { userId, tokens } = await anybody.signUp(ada);
    await outcomeOf(anybody.signIn({ ...ada, password: "wrong horse" }));
    const second = await anybody.signIn(ada);
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
    await auth.as(AuthService).signUp(ada);
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
