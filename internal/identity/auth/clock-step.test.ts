import { timestampMs } from "@bufbuild/protobuf/wkt";
import { describe, expect, test } from "bun:test";
import { decodeJwt } from "jose";
import { AuthService } from "../../gen/muin/identity/v1/auth_service_pb.ts";
import { CredentialService } from "../../gen/muin/identity/v1/credential_service_pb.ts";
import { ServiceTokenService } from "../../gen/muin/identity/v1/service_token_service_pb.ts";
import { ServiceWithdrawnSchema, SessionRevokedSchema } from "../../gen/muin/identity/v1/session_events_pb.ts";
import { scopes } from "../../gen/scopes.ts";
import type { Caller } from "../../platform/identity/caller.ts";
import type { ServiceInfo } from "../../platform/service/define-service.ts";
import { caught } from "../../platform/testing/mutant.ts";
import { mutantOf, personOfToken, startAuth, type AuthFixture } from "./auth-fixture.ts";

const hourMs = 3_600_000;
const operator: Caller = { kind: "api_key", id: "k", principal: "api_key:k", scopes: new Set(scopes) };

const start = (definition?: ServiceInfo): Promise<AuthFixture> =>
  startAuth(definition === undefined ? {} : { definition });

/** Until when the tokens are dated that the last event of this kind ends, in milliseconds since 1970. */
async function endedUntilMs(auth: AuthFixture, typeName: string): Promise<number> {
  const event = (await auth.events()).findLast(({ $typeName }) => $typeName === typeName);
  return timestampMs((event as unknown as { time: Parameters<typeof timestampMs>[0] }).time);
}
const issuedMs = (token: string): number => (decodeJwt(token).iat ?? 0) * 1000;

/** A service gets a token, then a new secret, and is withdrawn twice, all while the clock is put back from three hours ahead. */
async function withdrawsTokensAhead(definition?: ServiceInfo): Promise<void> {
  await using auth = await start(definition);
  const operations = auth.as(ServiceTokenService, { caller: operator });
  const renew = async (secret: string) => (await auth.as(ServiceTokenService).renewServiceToken({ secret })).token;
  const issue = async () => (await operations.issueBootstrapSecret({ serviceName: "user" })).secret;
  const withdraw = async (): Promise<number> => {
    await operations.withdrawService({ serviceName: "user" });
    return endedUntilMs(auth, ServiceWithdrawnSchema.typeName);
  };
  auth.clock.advance(3 * hourMs);
  const first = await issue();
  auth.clock.advance(hourMs);
  const ahead = await renew(first);
  auth.clock.advance(-4 * hourMs);
  await issue();
  expect(await withdraw()).toBeGreaterThanOrEqual(issuedMs(ahead));
  // One that was itself dated ahead stays the last word, and what is issued after it is good.
  auth.clock.advance(6 * hourMs);
  const last = await withdraw();
  auth.clock.advance(-6 * hourMs);
  expect(await withdraw()).toBe(last);
  expect(issuedMs(await renew(await issue()))).toBeGreaterThan(last);
}

/** A service gets a token and two new secrets, the first while the clock is three hours ahead, and is withdrawn. */
async function withdrawsTokensOfSecretsBefore(definition?: ServiceInfo): Promise<void> {
  await using auth = await start(definition);
  const operations = auth.as(ServiceTokenService, { caller: operator });
  const issue = async () => (await operations.issueBootstrapSecret({ serviceName: "user" })).secret;
  auth.clock.advance(3 * hourMs);
  const { token } = await auth.as(ServiceTokenService).renewServiceToken({ secret: await issue() });
  await issue();
  auth.clock.advance(-3 * hourMs);
  await issue();
  await operations.withdrawService({ serviceName: "user" });
  expect(await endedUntilMs(auth, ServiceWithdrawnSchema.typeName)).toBeGreaterThanOrEqual(issuedMs(token));
}

/** A session is refreshed while the clock is three hours ahead, again once it was put back, and then ended. */
async function endsSessionsAhead(definition?: ServiceInfo): Promise<void> {
  await using auth = await start(definition);
  auth.clock.advance(3 * hourMs);
  const { tokens } = await auth.signUp({ email: "ada@example.org", password: "correct horse battery" });
  auth.clock.advance(-3 * hourMs);
  const { accessToken } = (await auth.as(AuthService).refreshToken({ refreshToken: tokens.refreshToken })).tokens!;
  expect(issuedMs(accessToken)).toBeLessThan(issuedMs(tokens.accessToken));
  await auth.as(AuthService, { caller: personOfToken(accessToken) }).signOut({});
  expect(await endedUntilMs(auth, SessionRevokedSchema.typeName)).toBeGreaterThanOrEqual(issuedMs(tokens.accessToken));
}

/** Somebody gets all the mails of an hour while the clock is three hours ahead, and another mail is put off. */
async function sendsMails(definition?: ServiceInfo): Promise<void> {
  await using auth = await start(definition);
  const email = "ada@example.org";
  const ask = () => auth.as(CredentialService).requestPasswordReset({ email });
  const resets = async () => (await auth.mails()).filter(({ subject }) => subject.includes("password")).length;
  await auth.signUp({ email, password: "correct horse battery" });
  auth.clock.advance(3 * hourMs);
  for (let mail = 1; mail <= 6; mail += 1) {
    await ask();
    expect(await resets()).toBe(Math.min(mail, 5));
  }
  auth.clock.advance(-3 * hourMs);
  await ask();
  expect(await resets()).toBe(6);
  await ask();
  await auth.database.sql`UPDATE outgoing_mails SET attempts = 1, next_time = next_time + interval '3 hours'`;
  expect(await resets()).toBe(7);
}

/** While the clock is three hours ahead, keys are removed that are no longer published. */
async function keepsKeys(definition?: ServiceInfo): Promise<void> {
  await using auth = await start(definition);
  const kids = async () => (await auth.as(AuthService).listKeys({})).keys.map(({ kid }) => kid);
  const [first] = await kids();
  auth.clock.advance(29.5 * 24 * hourMs);
  expect(await kids()).toHaveLength(2);
  auth.clock.advance(24 * hourMs + 600_000);
  const both = await kids();
  expect(both).toHaveLength(2);
  auth.clock.advance(3 * hourMs);
  await auth.prune();
  expect(await kids()).not.toContain(first);
  auth.clock.advance(-3 * hourMs);
  expect(await kids()).toEqual(both);
}

describe("a clock that ran ahead and was put back", () => {
  test("leaves no token of a service that was withdrawn, and none of a later secret that is not good", () =>
    withdrawsTokensAhead());

  test("leaves no token of a secret before that of a service that was withdrawn", () =>
    withdrawsTokensOfSecretsBefore());

  test("leaves no token of a session that was ended", () => endsSessionsAhead());

  test("leaves the keys that verify what is good once it was put back", () => keepsKeys());

  test("keeps no mail back", () => sendsMails());

  test.each([
    ["mails of an hour to come count", "mail/sender.ts", "untilMs: nowMs + clockMarginMs", "untilMs: 1e13", sendsMails],
    [
      "mails that were put off wait",
      "mail/sender.ts",
      "latestMs: nowMs + pause.maxMs + clockMarginMs",
      "latestMs: 1e13",
      sendsMails,
    ],
    ["keys are removed at once", "token/signing-keys.ts", "clock.now() - tokenAheadMsMax", "clock.now()", keepsKeys],
    [
      "a new secret forgets what was issued",
      "bootstrap/store-postgres.ts",
      "CASE WHEN b.renew_time > excluded.issue_time THEN b.renew_time END",
      "NULL",
      withdrawsTokensAhead,
    ],
    [
      "a secret forgets when the one before was made",
      "bootstrap/store-postgres.ts",
      "greatest(b.issue_time, excluded.issue_time)",
      "excluded.issue_time",
      withdrawsTokensOfSecretsBefore,
    ],
    [
      "a withdrawal asks for no secret before",
      "bootstrap/rules.ts",
      " known.issueTimeMs,",
      "",
      withdrawsTokensOfSecretsBefore,
    ],
    ["a second withdrawal ends less", "bootstrap/rules.ts", ", known.withdrawTimeMs ?? 0", "", withdrawsTokensAhead],
    ["a session ends as of now", "session/rules.ts", "Math.max(nowMs, ended.useTimeMs)", "nowMs", endsSessionsAhead],
    [
      "a refresh forgets what was issued",
      "session/store-postgres.ts",
      "greatest(use_time, ${new Date(useTimeMs)})",
      "${new Date(useTimeMs)}",
      endsSessionsAhead,
    ],
  ] as const)("mutant: %s", async (_, path, from, to, check) => {
    const definition = await mutantOf(path, from, to);
    await caught(() => check(definition));
  });
});
