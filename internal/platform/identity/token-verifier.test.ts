import { describe, expect, test } from "bun:test";
import { base64url, exportJWK, generateKeyPair, SignJWT, UnsecuredJWT, type JWTPayload } from "jose";
import { join } from "node:path";
import type { Clock } from "../clock/clock.ts";
import type { MuinError } from "../errors/muin-error.ts";
import { importMutant } from "../testing/mutant.ts";
import type { TokenKey } from "./key-set.ts";
import { createTokenVerifier, type TokenVerifierDeps } from "./token-verifier.ts";
import { identityErrors } from "./errors.ts";

type Create = typeof createTokenVerifier;

const issuer = "https://muin.test";
const startMs = 1_800_000_000_000;
const startSeconds = startMs / 1000;
const good: JWTPayload & { sid?: string; scope?: string } = {
  iss: issuer,
  aud: "muin",
  sub: "u1",
  iat: startSeconds,
  exp: startSeconds + 900,
  sid: "s1",
  scope: "counts.read counts.write",
};
const person = {
  kind: "person",
  id: "u1",
  principal: "person:u1",
  scopes: new Set(["counts.read", "counts.write"]),
  sessionId: "s1",
} as const;

async function makeKey(kid: string) {
  const { publicKey, privateKey } = await generateKeyPair("EdDSA", { extractable: true });
  const { kty, crv, x } = await exportJWK(publicKey);
  const publicPart = { kty, crv, x, kid } as TokenKey;
  const sign = (claims: JWTPayload, header: Record<string, unknown> = {}) =>
    new SignJWT(claims).setProtectedHeader({ alg: "EdDSA", kid, ...header }).sign(privateKey);
  return { publicPart, sign };
}

const one = await makeKey("one");
const two = await makeKey("two");
const [header, payload, signature] = (await one.sign(good)).split(".") as [string, string, string];
const { sid: _sid, ...sessionless } = good;
const { scope: _scope, ...scopeless } = good;
const { exp: _exp, ...endless } = good;

const serviceHeader = { typ: "muin-service+jwt" };
const ofService: JWTPayload = {
  iss: issuer,
  aud: "muin-service",
  sub: "service:count-read",
  iat: startSeconds,
  exp: startSeconds + 900,
};

function setUp(create: Create = createTokenVerifier, more: Partial<TokenVerifierDeps> = {}) {
  const late: string[] = [];
  const state = { nowMs: startMs, fetched: 0, why: "", keys: async (): Promise<TokenKey[]> => [one.publicPart] };
  const clock: Clock = {
    now: () => state.nowMs,
    monotonic: () => state.nowMs,
    sleep: () => Promise.reject(new Error("nothing sleeps here")),
  };
  const silent = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {}, child: () => silent };
  const verifier = create({
    issuer,
    fetchKeys: () => {
      state.fetched++;
      return state.keys();
    },
    refused: (why) => {
      state.why = why;
      return identityErrors.credentialsInvalid();
    },
    tookLate: (service) => late.push(service),
    clock,
    log: silent,
    ...more,
  });
  /** "sync" and "verified" when accepted, why it was refused, or the error's code when it could not be told. */
  const call = async (token: string): Promise<string> => {
    try {
      const result = verifier.callerOf(token);
      await result;
      return result instanceof Promise ? "verified" : "sync";
    } catch (error) {
      const { code } = error as MuinError;
      return code === "unauthenticated" ? state.why : code;
    }
  };
  return { state, verifier, call, late };
}

const source = join(import.meta.dir, "token-verifier.ts");
const mutant = async (from: string, to: string): Promise<Create> =>
  (await importMutant<{ createTokenVerifier: Create }>(source, from, to)).createTokenVerifier;

test("a person's token names them, and is verified once", async () => {
  const { state, verifier, call } = setUp();
  const token = await one.sign(good);
  expect(await verifier.callerOf(token)).toEqual(person);
  expect(verifier.callerOf(token)).toEqual(person);
  state.nowMs = startMs + 900_000 - 1;
  expect(await call(token)).toBe("sync");
  state.nowMs = startMs + 900_000 + 5001;
  expect(await call(token)).toBe("expired");
});

test("a service's token names the service", async () => {
  const { verifier } = setUp();
  expect(await verifier.callerOf(await one.sign(ofService, serviceHeader))).toEqual({
    kind: "service",
    id: "count-read",
    principal: "service:count-read",
  });
});

describe("refuses", () => {
  const publicBytes = base64url.decode(one.publicPart.x);
  const tampered = base64url.encode(JSON.stringify({ ...good, scope: "keys.manage" }));
  /** The last column breaks the rule: with it the token is accepted. */
  const cases: [string, () => string | Promise<string>, string, [string, string]?][] = [
    ["alg none", () => new UnsecuredJWT(good).encode(), "wrong algorithm"],
    [
      "HS256 with the public key as its secret",
      () => new SignJWT(good).setProtectedHeader({ alg: "HS256", kid: "one" }).sign(publicBytes),
      "wrong algorithm",
    ],
    ["no key id", () => one.sign(good, { kid: undefined }), "no key id"],
    ["an unknown key id", () => two.sign(good), "unknown key id"],
    ["another key's signature", () => two.sign(good, { kid: "one" }), "wrong signature"],
    ["altered claims", () => [header, tampered, signature].join("."), "wrong signature"],
    ["a cut token", () => [header, payload].join("."), "not a token"],
    ["text", () => "hello", "not a token"],
    [
      "an expired token",
      () => one.sign({ ...good, iat: startSeconds - 900, exp: startSeconds - 6 }),
      "expired",
      ["clockTolerance: lateMs / 1000", "clockTolerance: 1e6"],
    ],
    ["a token without end", () => one.sign(endless), "wrong claim exp"],
    [
      "a token not valid yet",
      () => one.sign({ ...good, nbf: startSeconds + 60 }),
      "wrong claim nbf",
      ["clockTolerance: lateMs / 1000", "clockTolerance: 1e6"],
    ],
    [
      "a token from the future",
      () => one.sign({ ...good, iat: startSeconds + 86_401, exp: startSeconds + 86_401 + 900 }),
      "issued in the future",
      ["issueMs > clock.now() + tokenAheadMsMax", "false"],
    ],
    [
      "another audience",
      () => one.sign({ ...good, aud: "other" }),
      "wrong claim aud",
      ["person: { audience: tokenAudience, lateMs: clockSkewMs }", "person: { lateMs: clockSkewMs }"],
    ],
    [
      "another issuer",
      () => one.sign({ ...good, iss: "https://evil.test" }),
      "wrong claim iss",
      ["issuer: deps.issuer,", ""],
    ],
    ["no subject", () => one.sign({ ...good, sub: "" }), "wrong claim sub", ['sub === "" ||', ""]],
    [
      "a person's token that names a service",
      () => one.sign({ ...good, sub: "service:auth" }),
      "wrong claim sub",
      [" || sub.startsWith(serviceSubjectPrefix)", ""],
    ],
    ["a service's token as a person's", () => one.sign(ofService), "wrong claim aud"],
    ["a person's token as a service's", () => one.sign(good, serviceHeader), "wrong claim aud"],
    [
      "a service's token for people's audience",
      () => one.sign({ ...ofService, aud: "muin" }, serviceHeader),
      "wrong claim aud",
      ["    audience: serviceTokenAudience,", "    audience: tokenAudience,"],
    ],
    [
      "a service's token of an hour",
      () => one.sign({ ...ofService, exp: startSeconds + 3600 }, serviceHeader),
      "lives too long",
      ["if ((exp! - iat!) * 1000 > serviceTokenLifeMsMax) throw", "if (exp! < 0) throw"],
    ],
    ["a service without a name", () => one.sign({ ...ofService, sub: "service:" }, serviceHeader), "wrong claim sub"],
    ["a service's token of a person", () => one.sign({ ...ofService, sub: "u1" }, serviceHeader), "wrong claim sub"],
    ["a person without a session", () => one.sign(sessionless), "wrong claim sid"],
    ["a person without scopes", () => one.sign(scopeless), "wrong claim scope"],
    [
      "a person's token of a day",
      () => one.sign({ ...good, exp: startSeconds + 86_400 }),
      "lives too long",
      ["(exp! - iat!) * 1000 > accessTokenLifeMsMax", "false"],
    ],
    [
      "a token bound to a key",
      () => one.sign({ ...good, cnf: { jwk: {} } }),
      "bound to a key",
      ['kind !== "device" && claims["cnf"] !== undefined', "false"],
    ],
  ];
  test.each(cases.map((row) => ({ name: row[0], row })))("$name", async ({ row: [, make, why, change] }) => {
    const token = await make();
    expect(await setUp().call(token)).toBe(why);
    if (change !== undefined) expect(await setUp(await mutant(...change)).call(token)).toBe("verified");
  });

  test("other algorithms at two places", async () => {
    const token = await new SignJWT(good).setProtectedHeader({ alg: "HS256", kid: "one" }).sign(publicBytes);
    const trusting = await mutant("header.alg !== tokenAlgorithm", "false");
    expect(await setUp(trusting).call(token)).toBe("malformed token");
    const trustingJose = await mutant("algorithms: [tokenAlgorithm],", "");
    expect(await setUp(trustingJose).call(token)).toBe("wrong algorithm");
  });
});

/** Every way in which a token of a revoked session may come. */
async function revokeSession(create?: Create): Promise<readonly string[]> {
  const { state, verifier, call } = setUp(create);
  const seen = await one.sign(good);
  const unseen = await one.sign({ ...good, jti: "2" });
  const during = await one.sign({ ...good, jti: "3" });
  await call(seen);
  const underWay = call(during);
  verifier.sessionRevoked("s1", state.nowMs);
  const results = [await call(seen), await call(unseen), await underWay];
  state.nowMs += 15 * 60_000 - 1;
  return [...results, await call(seen), await call(await one.sign({ ...good, sid: "s2", jti: "4" }))];
}

test("no token of a revoked session is accepted, and those of others are", async () => {
  const revoked = "session revoked";
  expect(await revokeSession()).toEqual([revoked, revoked, revoked, revoked, "verified"]);
  const forgetful = await mutant("(revoked.has(caller.sessionId) || revokedAhead.has(caller.sessionId))", "false");
  expect(await revokeSession(forgetful)).toEqual(["sync", "verified", "verified", "sync", "verified"]);
  // Mutant: only tokens that come again are looked at, not those that were being verified.
  const hasty = await mutant("isLate ? admitLate(verified) : admit(verified)", "caller");
  expect(await revokeSession(hasty)).toContain("verified");
  expect((await revokeSession(hasty))[2]).toBe("verified");
});

/** Resolves once the keys that are fetched beside a call have come. */
const turn = (): Promise<void> => new Promise((resolve) => void setTimeout(resolve));

/** A person and a service call again and again; auth withdraws their key. */
async function callsAfterWithdrawal(create?: Create): Promise<readonly string[]> {
  const { state, call } = setUp(create);
  const tokens = [await one.sign(good), await one.sign(ofService, serviceHeader)] as const;
  for (const token of tokens) await call(token);
  state.keys = async () => [two.publicPart];
  state.nowMs += 20_001;
  // The keys are fetched beside the first call.
  const outcomes = await Promise.all([call(tokens[0]), call(tokens[1])]);
  await turn();
  state.nowMs += 3000;
  return [...outcomes, await call(tokens[0]), await call(tokens[1])];
}

const minuteMs = 60_000;

/** What a service's token and a person's bring that have ended, seen before or not, with auth away and then back. */
async function callsAfterTheEnd(create?: Create): Promise<Readonly<Record<string, string>>> {
  const { state, call, late } = setUp(create);
  const service = await one.sign(ofService, serviceHeader);
  const person = await one.sign(good);
  await call(service);
  await call(person);
  state.nowMs = startMs + 15 * minuteMs + 5001;
  const outcomes: Record<string, string> = { "auth there": await call(service) };
  state.keys = () => Promise.reject(new Error("away"));
  state.nowMs += 5000;
  outcomes["away"] = await call(service);
  outcomes["a person"] = await call(person);
  outcomes["unseen"] = await call(await one.sign({ ...ofService, jti: "2" }, serviceHeader));
  outcomes["unknown key"] = await call(await two.sign(ofService, serviceHeader));
  state.nowMs = startMs + 60 * minuteMs - 1;
  outcomes["just before the hour"] = await call(service);
  state.nowMs = startMs + 60 * minuteMs;
  outcomes["the hour"] = await call(service);
  outcomes["late"] = late.join(" ");
  state.nowMs = startMs + 30 * minuteMs;
  state.keys = async () => [one.publicPart];
  state.nowMs += 500;
  outcomes["auth back"] = await call(service);
  return outcomes;
}

describe("a service's token that has ended", () => {
  const outcomes = {
    "auth there": "expired",
    away: "verified",
    "a person": "expired",
    unseen: "verified",
    "unknown key": "unavailable",
    "just before the hour": "verified",
    "the hour": "expired",
    late: "count-read count-read count-read",
  };
  test("is taken for an hour after its issue while auth is away, by who knows its key; a person's never", async () => {
    expect(await callsAfterTheEnd()).toMatchObject(outcomes);
  });

  test.each([
    ["auth is there", "!isAway || ", "", { "auth there": "verified", late: expect.any(String) }],
    [
      "an hour has passed",
      " || clock.now() >= token.sinceMs + serviceTokenGraceMs",
      "",
      { "the hour": "verified", late: expect.any(String) },
    ],
    ["it is not told", "deps.tookLate?.(caller.id)", "undefined", { late: "" }],
  ])("mutant: is noticed where %s", async (_, from, to, seen) => {
    expect(await callsAfterTheEnd(await mutant(from, to))).toMatchObject({ ...outcomes, ...seen });
  });
});

const tokenAt = (seconds: number, jti: string, sub = "service:count-read"): Promise<string> =>
  one.sign({ ...ofService, sub, iat: startSeconds + seconds, exp: startSeconds + seconds + 900, jti }, serviceHeader);

/** What tokens bring that a service got before, within and after the second in which it was withdrawn, seen before or not. */
async function callsOfWithdrawn(create?: Create): Promise<readonly string[]> {
  const { state, verifier, call } = setUp(create);
  const seen = await tokenAt(0, "1");
  await call(seen);
  state.nowMs += 2500;
  verifier.serviceWithdrawn("count-read", state.nowMs);
  verifier.serviceWithdrawn("count-read", state.nowMs - 2000); // An older one, told again.
  return Promise.all([
    call(seen),
    call(await tokenAt(2, "2")),
    call(await tokenAt(3, "3")),
    call(await tokenAt(0, "4", "service:user")),
  ]);
}

test("no token is accepted that a service got until it was withdrawn; those from then on are, and others'", async () => {
  const withdrawn = "service withdrawn";
  expect(await callsOfWithdrawn()).toEqual([withdrawn, withdrawn, "verified", "verified"]);
  const forgetful = await mutant("issueMs <= (withdrawn.get(caller.id) ?? -1)", "false");
  expect(await callsOfWithdrawn(forgetful)).toEqual(["sync", "verified", "verified", "verified"]);
});

describe("keys", () => {
  test("are fetched again for an unknown key id, at most every 3 seconds", async () => {
    const { state, call } = setUp();
    expect(await call(await one.sign(good))).toBe("verified");
    const fresh = await two.sign(good);
    state.keys = async () => [one.publicPart, two.publicPart];
    for (let repeat = 0; repeat < 20; repeat++) expect(await call(fresh)).toBe("unknown key id");
    expect(state.fetched).toBe(1);
    state.nowMs += 3000;
    expect(await Promise.all([call(fresh), call(fresh)])).toEqual(["verified", "verified"]);
    expect(state.fetched).toBe(2);
  });

  test("are kept while auth is away, and tokens of unknown keys wait for it", async () => {
    const { state, verifier, call } = setUp();
    state.keys = () => Promise.reject(new Error("away"));
    expect(await verifier.readiness()).toContain("could not be fetched");
    expect(await call(await one.sign(good))).toBe("unavailable");
    state.keys = async () => [one.publicPart];
    expect(await verifier.readiness()).toContain("could not be fetched");
    state.nowMs += 500;
    expect(await verifier.readiness()).toBeUndefined();
    state.keys = () => Promise.reject(new Error("away"));
    state.nowMs += 600_000;
    const later = { ...good, iat: startSeconds + 600, exp: startSeconds + 1500 };
    expect(await call(await one.sign(later))).toBe("verified");
    expect(await call(await one.sign({ ...later, jti: "2" }))).toBe("verified");
    expect(await call(await two.sign(later))).toBe("unavailable");
  });

  test("that auth withdrew are forgotten within 20 seconds, with the tokens of whatever kind that were verified by them", async () => {
    expect(await callsAfterWithdrawal()).toEqual(["sync", "sync", "unknown key id", "unknown key id"]);
    const forgetful = await mutant("keys.has(known.keyId) && known.endMs", "known.endMs");
    expect(await callsAfterWithdrawal(forgetful)).toEqual(Array(4).fill("sync"));
    const lazy = await mutant("      keys.keepFresh();\n", "");
    expect(await callsAfterWithdrawal(lazy)).toEqual(Array(4).fill("sync"));
  });

  test("are fetched anew while the process only looks at whether it is ready", async () => {
    const { state, verifier, call } = setUp();
    const token = await one.sign(good);
    expect(await call(token)).toBe("verified");
    state.keys = async () => [two.publicPart];
    state.nowMs += 20_001;
    await verifier.readiness();
    await turn();
    expect(await call(token)).toBe("unknown key id");
  });

  test("of other kinds are not used", async () => {
    const { state, call } = setUp();
    state.keys = async () => [{ kty: "oct", crv: "Ed25519", x: one.publicPart.x, kid: "one" }, two.publicPart];
    expect(await call(await one.sign(good))).toBe("unknown key id");
  });
});

/** What tokens bring after revocations may have been missed: at once, for a person and a service, then 59 and 60 s later, and a newer one. */
async function afterMissing(create?: Create): Promise<string> {
  const { state, verifier, call } = setUp(create);
  const [token, ofServices] = [await one.sign(good), await one.sign(ofService, serviceHeader)];
  await call(token);
  verifier.revocationsMissed();
  const answers = [await call(token), await call(ofServices)];
  state.nowMs += 59_999;
  verifier.revocationsMissed(); // Once more gives no further time.
  answers.push(await call(token));
  state.nowMs += 1;
  answers.push(await call(token), await call(ofServices), await call(await one.sign({ ...good, sid: "other" })));
  const newer = { ...good, sid: "s2", iat: startSeconds + 66, exp: startSeconds + 900 };
  state.nowMs = startMs + 66_000;
  answers.push(await call(await one.sign(newer)));
  // By a clock that is put back by now.
  answers.push(await call(await one.sign({ ...good, iat: startSeconds + 3600, exp: startSeconds + 4500 })));
  verifier.sessionRevoked("other", state.nowMs);
  verifier.revocationsRead();
  answers.push(await call(token), await call(await one.sign({ ...good, sid: "other" })));
  const shown = (from: number, to: number): string => answers.slice(from, to).join(" ");
  return `${shown(0, 3)}, then ${shown(3, 6)}, then ${shown(6, 7)}, ahead ${shown(7, 8)}, read: ${shown(8, 10)}`;
}
const takenAMinute =
  "sync verified sync, then unavailable unavailable unavailable, then verified, ahead unavailable, read: sync session revoked";

test("tokens are taken for a minute after revocations may have been missed, then until they are read newer ones alone", async () => {
  expect(await afterMissing()).toBe(takenAMinute);
});

test.each([
  ["goes on for ever", "clock.monotonic() - doubt.beganAtMs >= doubtMsMax", "false"],
  ["begins anew each time", "doubt?.beganAtMs ?? clock.monotonic()", "clock.monotonic()"],
  ["is of newer tokens too", "issueMs <= doubt.issuedUntilMs", "true"],
  ["is of none that is dated ahead", " || issueMs > clock.now() + clockSkewMs", ""],
])("mutant: it is seen when the doubt %s", async (_, from, to) => {
  const broken = await importMutant<{ createTokenVerifier: Create }>(
    join(import.meta.dir, "revocation-doubt.ts"),
    from,
    to,
    [source],
  );
  expect(await afterMissing(broken.createTokenVerifier)).not.toBe(takenAMinute);
});

const ofDevice: JWTPayload = {
  iss: issuer,
  aud: "muin-device",
  sub: "device:d1",
  iat: startSeconds,
  exp: startSeconds + 86_400,
  cnf: { jwk: { kty: "OKP", crv: "Ed25519", x: one.publicPart.x } },
  branches: ["b1"],
};
const deviceHeader = { typ: "muin-device+jwt" };

/** What tokens of a device, of a revoked one and of a person bring ten minutes after revocations may have been missed. */
async function inDoubt(keepsRevocations: boolean): Promise<readonly string[]> {
  const { state, verifier, call } = setUp(createTokenVerifier, { keepsRevocations });
  verifier.deviceRevoked("d2");
  verifier.revocationsMissed();
  state.nowMs += 600_000;
  const revoked = await one.sign({ ...ofDevice, sub: "device:d2" }, deviceHeader);
  return [await call(await one.sign(ofDevice, deviceHeader)), await call(revoked), await call(await one.sign(good))];
}

test("where revoked devices are kept, tokens of others are taken for as long as they live, of people not", async () => {
  expect(await inDoubt(true)).toEqual(["verified", "device revoked", "unavailable"]);
  expect(await inDoubt(false)).toEqual(["unavailable", "device revoked", "unavailable"]);
});

test("keys of an earlier process verify tokens until auth answers, whose keys then count", async () => {
  const told: unknown[] = [];
  const { state, verifier, call } = setUp(createTokenVerifier, { keysFetched: (keys) => void told.push(keys) });
  state.keys = () => Promise.reject(new Error("away"));
  await verifier.adoptKeys([two.publicPart]);
  const token = await two.sign(good);
  expect([await call(token), await verifier.readiness(), told]).toEqual(["verified", undefined, []]);
  state.keys = async () => [one.publicPart];
  state.nowMs += 10_000;
  expect(await call(await one.sign(good))).toBe("verified"); // It asks for the key that it does not have.
  expect(told).toEqual([[one.publicPart]]);
  expect(await call(token)).toBe("unknown key id");
  await verifier.adoptKeys([two.publicPart]);
  expect(await call(token)).toBe("unknown key id");
});
