import { describe, expect, test } from "bun:test";
import { base64url, exportJWK, generateKeyPair, SignJWT, UnsecuredJWT, type JWTPayload } from "jose";
import { join } from "node:path";
import type { Clock } from "../clock/clock.ts";
import { systemRandom } from "../clock/random.ts";
import { caught, importMutant } from "../testing/mutant.ts";
import { entryPassClaims, type EntryPassClaims } from "./entry-pass.ts";
import { identityErrors } from "./errors.ts";
import type { TokenKey } from "./key-set.ts";
import { createTokenVerifier } from "./token-verifier.ts";

const startMs = 1_800_000_000_000;
const minuteMs = 60_000;
const hourMs = 60 * minuteMs;

async function makeKey(kid: string) {
  const { publicKey, privateKey } = await generateKeyPair("EdDSA", { extractable: true });
  const publicPart = { ...(await exportJWK(publicKey)), kid } as TokenKey;
  const sign = (claims: object, header: Record<string, unknown> = {}) =>
    new SignJWT({ ...claims }).setProtectedHeader({ alg: "EdDSA", kid, typ: "pass+jwt", ...header }).sign(privateKey);
  return { publicPart, sign };
}

const one = await makeKey("one");
const two = await makeKey("two");
const ids = { passId: systemRandom.uuid(), memberId: systemRandom.uuid(), branchId: systemRandom.uuid() };
const claimsAt = (issueMs = startMs, lifeMs = 5 * minuteMs): EntryPassClaims =>
  entryPassClaims({ ...ids, issueMs, lifeMs });
const good = claimsAt();
const passOf = (issueMs: number, lifeMs = 5 * minuteMs): Promise<string> => one.sign(claimsAt(issueMs, lifeMs));

type Create = typeof createTokenVerifier;

/** The verifier of a process, whose wall clock the test steps while time passes. */
function setUp(create: Create = createTokenVerifier) {
  const state = { monotonicMs: 0, aheadMs: 0, fetchKeys: async (): Promise<TokenKey[]> => [one.publicPart] };
  const clock: Clock = {
    now: () => startMs + state.monotonicMs + state.aheadMs,
    monotonic: () => state.monotonicMs,
    sleep: () => Promise.reject(new Error("nothing sleeps here")),
  };
  const silent = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {}, child: () => silent };
  const tokens = create({
    issuer: "https://muin.test",
    fetchKeys: () => state.fetchKeys(),
    refused: (why) => identityErrors.credentialsInvalid({ cause: new Error(why) }),
    clock,
    log: silent,
  });
  /** "good", or why not. */
  const verify = async (pass: string): Promise<string> => {
    const found = await tokens.entryPasses.verify(pass);
    return typeof found === "string" ? found : "good";
  };
  return { state, tokens, verify };
}

test("a pass names itself, its person, its branch and its end, by the keys alone", async () => {
  const { state, tokens } = setUp();
  const pass = await one.sign(good);
  const found = { ...ids, expireMs: startMs + 5 * minuteMs };
  expect(await tokens.entryPasses.verify(pass)).toEqual(found);
  state.fetchKeys = () => Promise.reject(new Error("auth is away"));
  state.monotonicMs = 4 * minuteMs;
  expect(await tokens.entryPasses.verify(pass)).toEqual(found);
});

test("is short enough for a QR code that a terminal of 80 columns shows", async () => {
  const kid = "x".repeat(43); // A thumbprint, as auth names its keys.
  expect((await (await makeKey(kid)).sign(good)).length).toBeLessThan(400);
});

test("while auth is away, a pass of a key that is not known cannot be told; otherwise it is none", async () => {
  const { state, verify } = setUp();
  const pass = await two.sign(good);
  expect(await verify(pass)).toBe("invalid");
  state.fetchKeys = () => Promise.reject(new Error("auth is away"));
  state.monotonicMs = 10_000;
  expect(await verify(pass)).toBe("unavailable");
});

describe("refuses", () => {
  const publicBytes = base64url.decode(one.publicPart.x);
  const cut = async (): Promise<[string, string, string]> =>
    (await one.sign(good)).split(".") as [string, string, string];
  const altered = base64url.encode(JSON.stringify({ ...good, sub: good.jti }));
  const without = (claim: keyof EntryPassClaims): JWTPayload => ({ ...good, [claim]: undefined });
  const hs256 = { alg: "HS256", kid: "one", typ: "pass+jwt" };
  const person = {
    iss: "https://muin.test",
    aud: "muin",
    sub: "u1",
    sid: "s1",
    scope: "",
    iat: good.iat,
    exp: good.exp,
  };
  test.each<[string, () => string | Promise<string>]>([
    ["alg none", () => new UnsecuredJWT({ ...good }).encode()],
    [
      "HS256 with the public key as its secret",
      () => new SignJWT({ ...good }).setProtectedHeader(hs256).sign(publicBytes),
    ],
    ["no key id", () => one.sign(good, { kid: undefined })],
    ["another key's signature", () => two.sign(good, { kid: "one" })],
    ["altered claims", async () => [(await cut())[0], altered, (await cut())[2]].join(".")],
    ["a cut pass", async () => (await cut()).slice(0, 2).join(".")],
    ["text", () => "hello"],
    ["nothing", () => ""],
    ["more text than a pass has", async () => (await one.sign(good)) + "A".repeat(1024)],
    ["a person's token", () => one.sign(person, { typ: "JWT" })],
    ["a person's token that says it is a pass", () => one.sign(person)],
    ["a device's token", () => one.sign({ ...good, aud: "muin-device" }, { typ: "muin-device+jwt" })],
    ["the type of no pass", () => one.sign(good, { typ: "JWT" })],
    ["no type", () => one.sign(good, { typ: undefined })],
    ["another audience", () => one.sign({ ...good, aud: "muin" })],
    ["no audience", () => one.sign(without("aud"))],
    ["no id", () => one.sign(without("jti"))],
    ["no person", () => one.sign(without("sub"))],
    ["no branch", () => one.sign(without("branch"))],
    ["no begin", () => one.sign(without("iat"))],
    ["no end", () => one.sign(without("exp"))],
    ["an id that is none", () => one.sign({ ...good, jti: "x" })],
    ["a life of more than a day", () => passOf(startMs, 24 * hourMs + 1000)],
  ])("%s", async (_, make) => {
    expect(await setUp().verify(await make())).toBe("invalid");
  });
});

test("no pass serves as a token", async () => {
  const { tokens } = setUp();
  const asPersons = { ...good, iss: "https://muin.test", scope: "", sid: "s" };
  for (const [pass, why] of [
    [good, "wrong claim iss"],
    [asPersons, "wrong claim aud"],
  ] as const) {
    const call = Promise.resolve().then(async () => tokens.callerOf(await one.sign(pass)));
    expect(await call.then(String, (error: Error) => (error.cause as Error).message)).toBe(why);
  }
});

/** A pass of 5 minutes over time; clocks may differ by 5 s. */
async function ends(create: Create): Promise<void> {
  const { state, verify } = setUp(create);
  const pass = await passOf(startMs);
  const seen: string[] = [];
  for (const atMs of [-4000, 0, 5 * minuteMs + 4999, 5 * minuteMs + 5001]) {
    state.monotonicMs = atMs;
    seen.push(await verify(pass));
  }
  expect(seen).toEqual(["good", "good", "good", "expired"]);
}

test("a pass is good until its end, and 5 seconds in which clocks may differ", () => ends(createTokenVerifier));

/** Auth issued a pass while its clock was three hours ahead; it is put back. */
async function livesOnceAhead(create: Create): Promise<void> {
  const { state, verify } = setUp(create);
  const pass = await passOf(startMs + 3 * hourMs);
  expect([await verify(pass), await verify(pass)]).toEqual(["good", "good"]);
  state.monotonicMs = 5 * minuteMs;
  expect(await verify(pass)).toBe("good");
  for (const atMs of [5 * minuteMs + 5001, 3 * hourMs, 3 * hourMs + 6 * minuteMs]) {
    state.monotonicMs = atMs;
    expect([atMs, await verify(pass)]).toEqual([atMs, "expired"]);
  }
}

test("one that a clock dated which ran ahead and was put back has one life, from when it is seen", () =>
  livesOnceAhead(createTokenVerifier));

/** Passes that are dated ahead by as much as is taken, and by more. */
async function boundsHowFar(create: Create): Promise<void> {
  const { verify } = setUp(create);
  expect(await verify(await passOf(startMs + 24 * hourMs))).toBe("good");
  expect(await verify(await passOf(startMs + 24 * hourMs + 1000))).toBe("invalid");
}

test("one that is dated more than a day ahead is refused", () => boundsHowFar(createTokenVerifier));

/** A pass that is revoked stays so to its end, whatever its life, also when this clock is put back after it. */
async function staysRevoked(create: Create): Promise<void> {
  for (const lifeMs of [minuteMs, 5 * minuteMs, hourMs, 24 * hourMs]) {
    for (const aheadMs of [0, 3 * hourMs, -3 * hourMs]) {
      const { state, tokens, verify } = setUp(create);
      const pass = await passOf(startMs, lifeMs);
      state.aheadMs = aheadMs;
      tokens.entryPasses.revoked(ids.passId, startMs + lifeMs);
      state.aheadMs = 0;
      for (const atMs of [0, lifeMs - 1, lifeMs + 4000]) {
        state.monotonicMs = atMs;
        expect([lifeMs, aheadMs, atMs, await verify(pass)]).toEqual([lifeMs, aheadMs, atMs, "revoked"]);
      }
    }
  }
}

test("a pass that was revoked stays so", () => staysRevoked(createTokenVerifier));

/** Many passes are revoked, each for a minute, which end; one of them was never shown. */
async function forgetsEnded(create: Create): Promise<void> {
  const { state, tokens, verify } = setUp(create);
  for (let round = 0; round < 4; round += 1) {
    for (let pass = 0; pass < 60_000; pass += 1) {
      tokens.entryPasses.revoked(`${round} ${pass}`, startMs + state.monotonicMs + minuteMs);
    }
    state.monotonicMs += 16 * minuteMs;
  }
  expect(await verify(await passOf(startMs + state.monotonicMs))).toBe("good");
}

test("passes that were revoked and have ended make room", () => forgetsEnded(createTokenVerifier), 30_000);

/** What may have been revoked unheard. */
async function doubts(create: Create): Promise<void> {
  const { state, tokens, verify } = setUp(create);
  const pass = await passOf(startMs, hourMs);
  tokens.revocationsMissed();
  expect(await verify(pass)).toBe("good");
  state.monotonicMs = minuteMs;
  expect(await verify(pass)).toBe("unavailable");
  expect(await verify(await passOf(startMs + 30_000))).toBe("good");
  tokens.revocationsRead();
  expect(await verify(pass)).toBe("good");
}

test("where revocations may have been missed, a pass from before is taken for a minute more, until they are read", () =>
  doubts(createTokenVerifier));

test.each([
  [
    "those dated ahead live on",
    "if (clock.now() > endMsOf(",
    "if (issueMs < 0 && clock.now() > endMsOf(",
    livesOnceAhead,
  ],
  ["clocks may not differ", "clockTolerance: clockSkewMs / 1000", "clockTolerance: 0", ends],
  ["they begin a new life whenever they come", "seenAheadMs.set(passId, sinceMs);", "", livesOnceAhead],
  ["they may be dated ahead by any time", "|| issueMs > clock.now() + tokenAheadMsMax", "", boundsHowFar],
  ["revocations are not looked at", "if (revocations.has(passId))", "if (passId === '')", staysRevoked],
  ["ended ones are forgotten", "latest.add(passId);", "", staysRevoked],
  ["every one is remembered for two days", "lifeMs >= leftMs", "lifeMs > 1e8", forgetsEnded],
  ["nothing is ever in doubt", "if (doubt.refuses(issueMs))", "if (issueMs < 0)", doubts],
] as const)(
  "mutant: %s",
  async (_, from, to, check) => {
    const folder = import.meta.dir;
    const mutant = await importMutant<{ createTokenVerifier: Create }>(join(folder, "entry-pass.ts"), from, to, [
      join(folder, "token-verifier.ts"),
    ]);
    await caught(() => check(mutant.createTokenVerifier));
  },
  30_000,
);
