import { describe, expect, test } from "bun:test";
import { toJson } from "@bufbuild/protobuf";
import { createLocalJWKSet, decodeProtectedHeader, jwtVerify, type JSONWebKeySet, type JWTPayload } from "jose";
import { AuthService, ListKeysResponseSchema } from "../../../gen/muin/identity/v1/auth_service_pb.ts";
import { ServiceTokenService } from "../../../gen/muin/identity/v1/service_token_service_pb.ts";
import type { Caller } from "../../../platform/identity/caller.ts";
import { MuinError } from "../../../platform/errors/muin-error.ts";
import { createTokenVerifier } from "../../../platform/identity/token-verifier.ts";
import { Secret } from "../../../platform/config/fields.ts";
import type { ServicePart } from "../../../platform/service/parts.ts";
import { clientOf, connect, outcomeOf, personOfToken, startAuth, type AuthFixture } from "../auth-fixture.ts";
import { scopes } from "../../../gen/scopes.ts";
import { planSigningKeys } from "./key-plan.ts";
import type { SigningKey } from "./store.ts";
import { expectPromised } from "../../../platform/testing/promise.ts";

const ada = { email: "ada@example.org", password: "correct horse battery" };
const minuteMs = 60_000;
const dayMs = 86_400_000;
const operator: Caller = { kind: "api_key", id: "k", principal: "api_key:k", scopes: new Set<string>(scopes) };

const keySetOf = async (auth: AuthFixture): Promise<JSONWebKeySet> =>
  toJson(ListKeysResponseSchema, await auth.as(AuthService).listKeys({})) as unknown as JSONWebKeySet;

const problemOf = (parts: readonly ServicePart[]): Promise<string | undefined> | undefined =>
  parts.find((part) => part.part === "readiness")?.check();

/** Verifies as anybody can, who has nothing but the published keys. */
const verify = async (auth: AuthFixture, token: string, audience = "muin"): Promise<JWTPayload> => {
  const keys = createLocalJWKSet(await keySetOf(auth));
  const currentDate = new Date(auth.clock.now());
  const options = { issuer: "muin", audience, algorithms: ["EdDSA"], currentDate };
  return (await jwtVerify(token, keys, options)).payload;
};

const key = (kid: string, signTimeMs: number, tokenExpireTimeMs = 0): SigningKey => ({
  kid,
  signTimeMs,
  tokenExpireTimeMs,
  publicKey: new Uint8Array(32),
  seedSealed: new Uint8Array(),
});

describe("the plan of signing keys", () => {
  const policy = { signingKeyLifeMs: 30 * dayMs, signingKeyAheadMs: dayMs };
  const kidsOf = (keys: readonly SigningKey[], nowMs: number) => {
    const { active, published, createSignTimeMs } = planSigningKeys(keys, nowMs, policy);
    return { active: active?.kid, published: published.map(({ kid }) => kid), createSignTimeMs };
  };
  const a = key("a", 0);
  const b = key("b", 30 * dayMs);
  const cases: readonly (readonly [string, readonly SigningKey[], number, ReturnType<typeof kidsOf>])[] = [
    ["none: the first signs at once", [], 5, { active: undefined, published: [], createSignTimeMs: 5 }],
    ["one in its life", [a], 29 * dayMs - 1, { active: "a", published: ["a"], createSignTimeMs: undefined }],
    ["one whose successor is due", [a], 29 * dayMs, { active: "a", published: ["a"], createSignTimeMs: 30 * dayMs }],
    [
      "one that nobody asked for, past its life: it signs on until the next was published long enough",
      [a],
      50 * dayMs,
      { active: "a", published: ["a"], createSignTimeMs: 51 * dayMs },
    ],
    [
      "the next one is published, and does not sign yet",
      [a, b],
      30 * dayMs - 1,
      { active: "a", published: ["a", "b"], createSignTimeMs: undefined },
    ],
    [
      "the next one signs, the old one is published",
      [a, b],
      30 * dayMs,
      { active: "b", published: ["a", "b"], createSignTimeMs: undefined },
    ],
    [
      "until its tokens ended",
      [a, b],
      30 * dayMs + 20 * minuteMs,
      { active: "b", published: ["b"], createSignTimeMs: undefined },
    ],
    [
      "and those of devices too",
      [key("a", 0, 40 * dayMs), b],
      40 * dayMs,
      { active: "b", published: ["a", "b"], createSignTimeMs: undefined },
    ],
    ["a clock that was set back", [b], 0, { active: "b", published: ["b"], createSignTimeMs: undefined }],
  ];

  test.each(cases)("%s", (_, keys, nowMs, plan) => {
    expect(kidsOf(keys, nowMs)).toEqual(plan);
  });
});

describe("tokens", () => {
  test("verify against the published keys alone, and carry who, which session and what", async () => {
    await using auth = await startAuth();
    const { userId, tokens } = await auth.signUp(ada);
    const token = tokens?.accessToken ?? "";
    expect(Object.keys((await keySetOf(auth)).keys[0] ?? {}).toSorted()).toEqual([
      "alg",
      "crv",
      "kid",
      "kty",
      "use",
      "x",
    ]);
    const claims = await verify(auth, token);
    const { sessions } = await auth.as(AuthService, { caller: personOfToken(token) }).listSessions({});
    expect(claims).toEqual({
      iss: "muin",
      aud: "muin",
      sub: userId,
      sid: sessions[0]?.sessionId,
      scope: "",
      iat: expect.any(Number),
      exp: (claims.iat ?? 0) + 900,
      jti: expect.any(String),
    });
    expect(Number(tokens?.accessExpireTime?.seconds)).toBe(claims.exp ?? 0);
    expect(decodeProtectedHeader(token) as unknown).toEqual({
      alg: "EdDSA",
      kid: (await keySetOf(auth)).keys[0]?.kid,
      typ: "JWT",
    });
    auth.clock.advance(15 * minuteMs);
    expect(verify(auth, token)).rejects.toThrow("exp");
  });

  test("are taken by the verifier that every service has", async () => {
    await using auth = await startAuth();
    const { userId, tokens } = await auth.signUp(ada);
    const { token } = await auth
      .as(ServiceTokenService, { caller: operator })
      .issueServiceToken({ serviceName: "count-write" });
    const verifier = createTokenVerifier({
      issuer: "muin",
      fetchKeys: async () => (await auth.as(AuthService).listKeys({})).keys,
      refused: (why) => new MuinError({ code: "unauthenticated", reason: "REFUSED", message: why }),
      clock: auth.clock,
      log: auth.log,
    });
    const person = personOfToken(tokens?.accessToken ?? "");
    expect(await verifier.callerOf(tokens?.accessToken ?? "")).toEqual({ ...person, id: userId });
    expect(await verifier.callerOf(token)).toEqual({
      kind: "service",
      id: "count-write",
      principal: "service:count-write",
    });
  });

  test("outlive the rotation of their key, and each key is published before it signs", async () => {
    await using auth = await startAuth({ config: { signingKeyLifeMs: 10 * dayMs, signingKeyAheadMs: dayMs } });
    const client = auth.as(AuthService);
    await auth.signUp(ada);
    const kids = new Set<string>();
    let known = await keySetOf(auth);
    let last = "";
    for (let hour = 0; hour < 24 * 25; hour += 4) {
      auth.clock.advance(4 * 60 * minuteMs);
      const token = (await client.signIn(ada)).tokens?.accessToken ?? "";
      kids.add(decodeProtectedHeader(token).kid ?? "");
      // A verifier that last read the keys four hours ago knows this one.
      expect(known.keys.map((key) => key.kid)).toContain(decodeProtectedHeader(token).kid);
      known = await keySetOf(auth);
      last = token;
    }
    expect(kids.size).toBe(3);
    auth.clock.advance(14 * minuteMs);
    expect((await verify(auth, last)).sub).toBeString();
  });

  test("are signed with one key, however many processes start at once", async () => {
    await using auth = await startAuth();
    const clients = Array.from({ length: 8 }, () => clientOf(auth.another().parts, AuthService));
    const sets = await Promise.all(clients.map((client) => client.listKeys({})));
    expect(new Set(sets.flatMap((set) => set.keys.map(({ kid }) => kid))).size).toBe(1);
  });

  test("stay verifiable while the database is away, and the loss is named in time where no key is known", async () => {
    await using auth = await startAuth();
    const known = await auth.as(AuthService).listKeys({});
    await using beside = connect(auth.url);
    await beside.transaction(async (tx) => {
      await tx`LOCK TABLE signing_keys`; // Frozen for the service, until the end.
      auth.clock.advance(minuteMs);
      const startedAt = performance.now();
      expect(await problemOf(auth.another().parts)).toContain("in time");
      expectPromised("readiness names a database that stands still", 1000, performance.now() - startedAt);
      expect(await auth.as(AuthService).listKeys({})).toEqual(known);
    });
    await auth.database.stop();
    auth.clock.advance(minuteMs);
    expect(await auth.as(AuthService).listKeys({})).toEqual(known);
    const another = auth.another();
    await another.database.stop();
    expect(await problemOf(another.parts)).toContain("cannot be");
  });

  test("need the secret that their keys were written with", async () => {
    await using auth = await startAuth();
    await auth.as(AuthService).listKeys({});
    expect(await problemOf(auth.parts)).toBeUndefined();
    const [row] = await auth.database.sql<{ seed_sealed: Uint8Array }[]>`SELECT seed_sealed FROM signing_keys`;
    expect(row?.seed_sealed.length).toBe(12 + 32 + 16);
    await using other = await startAuth({
      config: { keyEncryptionSecret: new Secret("quite another secret, as long as it must be") },
    });
    const rows = await auth.database.sql`SELECT * FROM signing_keys`;
    await other.database.sql`INSERT INTO signing_keys ${other.database.sql(rows)}`;
    expect(await problemOf(other.parts)).toContain("key-encryption secret");
  });
});

describe("service tokens", () => {
  test("are issued to who holds every scope, for 15 minutes unless for less", async () => {
    await using auth = await startAuth();
    const issuer = auth.as(ServiceTokenService, { caller: operator });
    for (const [ttl, lifeSeconds] of [
      [undefined, 900],
      [{ seconds: 60n, nanos: 0 }, 60],
    ] as const) {
      const { token, expireTime } = await issuer.issueServiceToken({
        serviceName: "count-write",
        ...(ttl === undefined ? {} : { ttl }),
      });
      const claims = await verify(auth, token, "muin-service");
      expect(claims).toMatchObject({ sub: "service:count-write", exp: Number(expireTime?.seconds) });
      expect(claims.exp).toBe((claims.iat ?? 0) + lifeSeconds);
      expect(claims).not.toHaveProperty("scope");
    }
  });

  test.each([
    ["a name that is none", { serviceName: "Count Write" }, "InvalidArgument FIELD_INVALID"],
    ["no name", { serviceName: "" }, "InvalidArgument FIELD_INVALID"],
    ["a life of a second", { serviceName: "auth", ttl: { seconds: 1n, nanos: 0 } }, "InvalidArgument FIELD_INVALID"],
    ["16 minutes", { serviceName: "auth", ttl: { seconds: 960n, nanos: 0 } }, "InvalidArgument FIELD_INVALID"],
  ])("are refused for %s", async (_, request, outcome) => {
    await using auth = await startAuth();
    expect(await outcomeOf(auth.as(ServiceTokenService, { caller: operator }).issueServiceToken(request))).toBe(
      outcome,
    );
  });

  test("are refused to who holds less: they would be given what the service may do", async () => {
    await using auth = await startAuth();
    const caller: Caller = { ...operator, scopes: new Set(["keys.manage", "counts.read"]) };
    const call = auth.as(ServiceTokenService, { caller }).issueServiceToken({ serviceName: "auth" });
    expect(await outcomeOf(call)).toBe("PermissionDenied SCOPE_MISSING");
  });
});
