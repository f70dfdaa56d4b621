import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { AuthService } from "../gen/muin/identity/v1/auth_service_pb.ts";
import { CredentialService } from "../gen/muin/identity/v1/credential_service_pb.ts";
import { UserService } from "../gen/muin/identity/v1/user_service_pb.ts";
import { eventually } from "../platform/testing/eventually.ts";
import { connectClient, startMuin, type TestMuin } from "../platform/testing/muin.ts";
import { untilPromised } from "../platform/testing/promise.ts";

setDefaultTimeout(60_000);

const issuer = "https://id.example.org";
const password = "correct horse battery";

let muin: TestMuin;
beforeAll(async () => {
  muin = await startMuin({ env: { MUIN_ISSUER: issuer, MUIN_LOG_LEVEL: "info" } });
});
afterAll(() => muin[Symbol.asyncDispose]());

interface Reply {
  readonly status: number;
  readonly body: Record<string, unknown>;
}

/** A call over REST. */
async function rest(method: string, path: string, body?: unknown, token?: string): Promise<Reply> {
  const response = await fetch(`${muin.http}${path}`, {
    method,
    headers: {
      "content-type": "application/json",
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  return { status: response.status, body: (await response.json()) as Record<string, unknown> };
}

test("mails of a standalone Muin are files beside its data, and the log says where", async () => {
  const email = "mail@example.org";
  const signedUp = await rest("POST", "/api/v1/auth:signUp", { email, password });
  expect(signedUp).toEqual({ status: 200, body: { accepted: true, userId: "" } });
  const token = await muin.mailbox.token(email, "Verify your e-mail address");
  const verified = await rest("POST", "/api/v1/auth:verifyEmail", { token });
  expect(verified).toMatchObject({ status: 200, body: { userId: expect.any(String) } });
  const { accessToken } = verified.body["tokens"] as { readonly accessToken: string };
  const { body } = await rest("GET", "/api/v1/credentials", undefined, accessToken);
  expect(body).toMatchObject({ credentials: { email, totpEnabled: false } });
  expect((body["credentials"] as Record<string, unknown>)["emailVerifyTime"]).toBeString();
  expect(muin.stderr()).toContain(join(muin.dataDir, "mail"));
});

/** What a script writes. */
async function shell(text: string): Promise<string> {
  const child = Bun.spawn(["sh", "-c", text], { stdout: "pipe", stderr: "ignore" });
  return new Response(child.stdout).text();
}

test("the guide's commands sign a person up", async () => {
  const guide = await Bun.file(join(import.meta.dir, "../../cmd/muin/GUIDE.md")).text();
  const [, script = ""] = /\n## People\n[^]*?\n\n((?: {4}.*\n)+)/.exec(guide) ?? [];
  const here = script.replaceAll("http://127.0.0.1:8080", muin.http).replaceAll("~/.local/share/muin", muin.dataDir);
  const lines = here.split("\n");
  const profileAt = lines.findIndex((line) => line.includes("/api/v1/users/me"));
  const signingUp = [...lines.slice(0, profileAt), 'echo "token:$ACCESS_TOKEN"'].join("\n");
  const token = (await shell(signingUp)).split("token:")[1]?.trim() ?? "";
  expect(token.split(".")).toHaveLength(3);
  // A moment later there is a profile.
  await eventually(async () => {
    const shown = await shell([`ACCESS_TOKEN=${token}`, ...lines.slice(profileAt)].join("\n"));
    expect(shown).toMatch(/"email":"ada@example.org".*"timeZone":"Asia\/Seoul"/s);
  });
});

test("behind a proxy people are invited, and nobody signs up", async () => {
  await using proxied = await startMuin({ args: ["--behind-proxy"] });
  const anybody = connectClient(AuthService, proxied.http, undefined);
  const refused: unknown = await anybody
    .signUp({ email: "eve@example.org", password })
    .catch((error: unknown) => error);
  expect(String(refused)).toContain("accounts are for who was invited");
  const { code, stdout } = await proxied.run("users", "invite", "ada@example.org");
  expect({ code, stdout }).toEqual({ code: 0, stdout: expect.stringMatching(/^ada@example.org is invited by mail; /) });
  const token = await proxied.mailbox.token("ada@example.org", "You are invited");
  const { tokens } = await anybody.acceptInvitation({ token, password, displayName: "Ada" });
  const mine = proxied.client(CredentialService, tokens?.accessToken);
  expect((await mine.getCredentials({})).credentials).toMatchObject({ email: "ada@example.org" });
});

/** Whether a call was refused for its credentials, and did not go through. */
const isRefused = (call: Promise<unknown>): Promise<boolean> =>
  call.then(
    () => false,
    (error: unknown) => String(error).includes("unauthenticated"),
  );

test("a password is reset by mail, and every session ends everywhere within a second", async () => {
  const email = "reset@example.org";
  const { tokens } = await muin.signUp({ email, password });
  const mine = muin.client(CredentialService, tokens.accessToken);
  await mine.getCredentials({});
  const unknown = await rest("POST", "/api/v1/auth:requestPasswordReset", { email: "nobody@example.org" });
  expect(await rest("POST", "/api/v1/auth:requestPasswordReset", { email })).toEqual(unknown);
  const token = await muin.mailbox.token(email, "Set a new password");
  await rest("POST", "/api/v1/auth:resetPassword", { token, newPassword: "another horse" });
  await untilPromised("a reset ends every session", 1000, () => isRefused(mine.getCredentials({})));
  expect((await rest("POST", "/api/v1/auth:signIn", { email, password })).status).toBe(401);
  expect((await rest("POST", "/api/v1/auth:signIn", { email, password: "another horse" })).status).toBe(200);
});

test("the discovery document is there where verifiers look, says two things, and both are true", async () => {
  const response = await fetch(`${muin.http}/.well-known/openid-configuration`);
  expect(response.headers.get("content-type")).toContain("application/json");
  expect(await response.json()).toEqual({ issuer, jwks_uri: `${issuer}/.well-known/jwks.json` });
  const { keys } = (await (await fetch(`${muin.http}/.well-known/jwks.json`)).json()) as { keys: unknown[] };
  expect(keys.length).toBeGreaterThan(0);
});

describe("nobody gives themself more by sending more", () => {
  test.each([
    ["roles at sign-up", "/api/v1/auth:signUp", { roles: ["administrator"], sign_up_roles: ["administrator"] }],
    ["a user id at sign-up", "/api/v1/auth:signUp", { userId: "0199c5f2-6f0c-7aa0-8d6e-0a4f3a6b1c55" }],
    ["scopes at sign-up", "/api/v1/auth:signUp", { scopes: ["scopes.manage"], status: "ACTIVE" }],
  ])("%s", async (what, path, more) => {
    const email = `${what.replaceAll(" ", "-")}@example.org`;
    expect((await rest("POST", path, { email, password, ...more })).status).toBe(400);
    expect((await rest("POST", "/api/v1/auth:signIn", { email, password })).status).toBe(401);
  });
});

test("a scope that is given works at the next refresh, and not before", async () => {
  const { userId, tokens } = await muin.signUp({ email: "scoped@example.org", password });
  const { body } = await rest("POST", `/api/v1/scopes/${userId}:grant`, { scopes: ["audit.read"] }, muin.operatorKey);
  expect(body).toMatchObject({ personScopes: { userId, grantedScopes: ["audit.read"] } });
  const everything = (token: string | undefined): Promise<Reply> =>
    rest("GET", `/api/v1/audit-events?principal=anonymous&page_size=5`, undefined, token);
  expect((await everything(tokens.accessToken)).status).toBe(403);
  const refreshed = await muin.client(AuthService).refreshToken({ refreshToken: tokens.refreshToken ?? "" });
  expect((await everything(refreshed.tokens?.accessToken)).status).toBe(200);
});

test("a suspended person is out everywhere within a second, and cannot come back until they are admitted", async () => {
  const email = "suspended@example.org";
  const { userId, tokens } = await muin.signUp({ email, password });
  const mine = muin.client(CredentialService, tokens.accessToken);
  await mine.getCredentials({});
  const users = muin.client(UserService);
  await eventually(() => users.getUser({ userId }));
  await users.suspendUser({ userId, reason: "test" });
  await untilPromised("a suspended person is out", 1000, () => isRefused(mine.getCredentials({})));
  expect((await rest("POST", "/api/v1/auth:signIn", { email, password })).status).toBe(403);
  expect((await rest("POST", "/api/v1/auth:signIn", { email, password: "wrong horse" })).status).toBe(401);
  const { refreshToken } = tokens ?? { refreshToken: "" };
  expect((await rest("POST", "/api/v1/auth:refreshToken", { refreshToken })).status).toBe(401);
  await users.reactivateUser({ userId });
  await eventually(async () => {
    expect((await rest("POST", "/api/v1/auth:signIn", { email, password })).status).toBe(200);
  });
});

test("scopes are given and taken back on the command line", async () => {
  const email = "operated@example.org";
  const { userId } = await muin.signUp({ email, password });
  const json = async (...args: string[]): Promise<unknown> => {
    const { code, stdout, stderr } = await muin.run("users", "scopes", ...args, "--json");
    if (code !== 0) throw new Error(stderr);
    return JSON.parse(stdout);
  };
  expect(await json("grant", userId, "counts.read", "users.read")).toMatchObject({
    user_id: userId,
    granted_scopes: ["counts.read", "users.read"],
  });
  await eventually(async () => {
    const { stdout } = await muin.run("users", "scopes", "get", email);
    expect(stdout).toMatch(/counts\.read +given/);
  });
  expect(await json("revoke", userId, "users.read")).toMatchObject({ scopes: ["counts.read"] });
  const { stdout } = await muin.run("users", "scopes", "list");
  expect(stdout).toMatch(/scopes\.manage +administrator/);
  const unknown = await muin.run("users", "scopes", "grant", userId, "no.such");
  expect(unknown.code).not.toBe(0);
  expect(unknown.stderr).toContain("no.such");
});
