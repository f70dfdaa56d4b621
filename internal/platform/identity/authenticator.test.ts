import { expect, test } from "bun:test";
import { exportJWK, generateKeyPair, SignJWT } from "jose";
import { systemClock } from "../clock/clock.ts";
import { MuinError } from "../errors/muin-error.ts";
import { createLogger } from "../telemetry/create-logger.ts";
import { createMetrics } from "../telemetry/create-metrics.ts";
import { createAuthenticator } from "./authenticator.ts";
import { anonymous } from "./caller.ts";
import type { TokenKey } from "./key-set.ts";

function setUp() {
  const lines: string[] = [];
  const metrics = createMetrics();
  const authenticator = createAuthenticator({
    issuer: "https://muin.test",
    fetchKeys: async () => [],
    verifyApiKey: async () => ({ id: "k1", scopes: [], expireTimeMs: undefined }),
    heartbeatAgeMs: () => 0,
    clock: { ...systemClock, monotonic: () => 0 },
    log: createLogger({ level: "info", service: "test", destination: { write: (line) => lines.push(line) } }),
    metrics,
  });
  return { authenticator, lines, metrics };
}

test("without credentials the caller is anonymous, with an API key in any case of the scheme it is the key", async () => {
  const { authenticator } = setUp();
  expect(authenticator.authenticate(null)).toBe(anonymous);
  for (const header of ["Bearer muin_x", "bearer muin_x", "BEARER   muin_x "]) {
    expect(await authenticator.authenticate(header)).toMatchObject({ kind: "api_key", id: "k1" });
  }
});

test("credentials that prove nobody get one answer; the log and a metric say why", async () => {
  const { authenticator, lines, metrics } = setUp();
  const bad = ["Basic dTpw", "Bearer", "", `Bearer ${"x".repeat(5000)}`, "Bearer x.y.z", "Bearer muin_a muin_b"];
  const answers = bad.map((header) => {
    try {
      return authenticator.authenticate(header);
    } catch (error) {
      return error;
    }
  });
  const settled = await Promise.all(
    answers.map(async (answer) => Promise.resolve(answer).catch((error: unknown) => error)),
  );
  for (const error of settled.slice(0, 5) as MuinError[]) {
    expect(error).toBeInstanceOf(MuinError);
    expect([error.code, error.reason, error.message]).toEqual([
      "unauthenticated",
      "CREDENTIALS_INVALID",
      "the credentials in the header Authorization are not valid",
    ]);
  }
  expect(lines).toHaveLength(1);
  expect(lines[0]).toContain('"why":"not a bearer"');
  const text = await metrics.render();
  expect(text).toContain('muin_identity_refusals_total{why="not a bearer"} 3');
  expect(text).toContain('muin_identity_refusals_total{why="too long"} 1');
  expect(text).toContain('muin_identity_refusals_total{why="not a token"} 1');
});

test("a notice and a metric say which services call by a token that has ended while auth is away, until a minute after", async () => {
  const { publicKey, privateKey } = await generateKeyPair("EdDSA", { extractable: true });
  const { kty, crv, x } = await exportJWK(publicKey);
  const metrics = createMetrics();
  let nowMs = 1_800_000_000_000;
  let isAway = false;
  const silent = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {}, child: () => silent };
  const authenticator = createAuthenticator({
    issuer: "https://muin.test",
    fetchKeys: async () => {
      if (isAway) throw new Error("away");
      return [{ kty, crv, x, kid: "one" } as TokenKey];
    },
    verifyApiKey: async () => undefined,
    heartbeatAgeMs: () => 0,
    clock: { ...systemClock, now: () => nowMs, monotonic: () => nowMs },
    log: silent,
    metrics,
  });
  const token = await new SignJWT({ sub: "service:user", iat: nowMs / 1000, exp: nowMs / 1000 + 900 })
    .setProtectedHeader({ alg: "EdDSA", kid: "one", typ: "muin-service+jwt" })
    .setIssuer("https://muin.test")
    .setAudience("muin-service")
    .sign(privateKey);
  await authenticator.authenticate(`Bearer ${token}`);
  expect(authenticator.notice()).toBeUndefined();
  isAway = true;
  nowMs += 20 * 60_000;
  expect(await authenticator.authenticate(`Bearer ${token}`)).toMatchObject({ kind: "service", id: "user" });
  expect(authenticator.notice()).toContain("auth is away");
  expect(authenticator.notice()).toContain("(user)");
  expect(await metrics.render()).toContain('muin_identity_late_service_tokens_total{service="user"} 1');
  nowMs += 60_000;
  expect(authenticator.notice()).toBeUndefined();
});
