import { expect, test } from "bun:test";
import { exportJWK, generateKeyPair, SignJWT } from "jose";
import { join } from "node:path";
import type { Clock } from "../clock/clock.ts";
import type { MuinError } from "../errors/muin-error.ts";
import { caught, importMutant } from "../testing/mutant.ts";
import { identityErrors } from "./errors.ts";
import type { TokenKey } from "./key-set.ts";
import { createTokenVerifier } from "./token-verifier.ts";

type Create = typeof createTokenVerifier;

const issuer = "https://muin.test";
const startMs = 1_800_000_000_000;
const minuteMs = 60_000;
const hourMs = 60 * minuteMs;

const { publicKey, privateKey } = await generateKeyPair("EdDSA", { extractable: true });
const publicPart = { ...(await exportJWK(publicKey)), kid: "one" } as TokenKey;

/** What tokens of each kind say beside their times, and how long they live. */
const kinds = {
  device: {
    lifeMs: 24 * hourMs,
    typ: "muin-device+jwt",
    claims: { aud: "muin-device", sub: "device:d1", cnf: { jwk: publicPart }, branches: ["b1"] },
  },
  service: {
    lifeMs: 15 * minuteMs,
    typ: "muin-service+jwt",
    claims: { aud: "muin-service", sub: "service:access" },
  },
  person: { lifeMs: 15 * minuteMs, typ: "JWT", claims: { aud: "muin", sub: "u1", sid: "s1", scope: "" } },
} as const;
const kindNames = Object.keys(kinds) as (keyof typeof kinds)[];

/** A token that says it was issued at `issueMs`. */
const tokenOf = (kind: keyof typeof kinds, issueMs: number): Promise<string> => {
  const { lifeMs, typ, claims } = kinds[kind];
  const times = { iat: issueMs / 1000, exp: (issueMs + lifeMs) / 1000 };
  return new SignJWT({ iss: issuer, ...claims, ...times })
    .setProtectedHeader({ alg: "EdDSA", kid: "one", typ })
    .sign(privateKey);
};

/** A verifier whose wall clock the test steps while time passes. */
function setUp(create: Create) {
  const time = { monotonicMs: 0, aheadMs: 0 };
  let why = "";
  const clock: Clock = {
    now: () => startMs + time.monotonicMs + time.aheadMs,
    monotonic: () => time.monotonicMs,
    sleep: () => Promise.reject(new Error("nothing sleeps here")),
  };
  const silent = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {}, child: () => silent };
  const verifier = create({
    issuer,
    fetchKeys: async () => [publicPart],
    refused: (reason) => {
      why = reason;
      return identityErrors.credentialsInvalid();
    },
    clock,
    log: silent,
  });
  const call = async (token: string): Promise<string> => {
    try {
      await verifier.callerOf(token);
      return "taken";
    } catch (error) {
      return (error as MuinError).code === "unauthenticated" ? why : (error as MuinError).code;
    }
  };
  return { time, verifier, call };
}

/** Auth issued tokens while its clock was three hours ahead. */
async function takesTokensAhead(create: Create): Promise<void> {
  for (const kind of kindNames) {
    const { time, call } = setUp(create);
    const token = await tokenOf(kind, startMs + 3 * hourMs);
    expect([kind, await call(token), await call(token)]).toEqual([kind, "taken", "taken"]);
    time.monotonicMs += 15 * minuteMs - 1;
    expect([kind, await call(token)]).toEqual([kind, "taken"]);
    // Until its time has come a short one has one life, from when it was first seen.
    time.monotonicMs += 5002;
    expect([kind, await call(token)]).toEqual([kind, kind === "device" ? "taken" : "expired"]);
    // No token is good after the end that it names.
    time.monotonicMs = 3 * hourMs + kinds[kind].lifeMs + 5001;
    expect([kind, await call(token)]).toEqual([kind, "expired"]);
  }
}

test("tokens that a clock dated which ran ahead and was put back are good for their life from when they are seen", () =>
  takesTokensAhead(createTokenVerifier));

/** Tokens that are dated ahead by as much as is taken, and by more. */
async function boundsHowFar(create: Create): Promise<void> {
  for (const kind of kindNames) {
    const { call } = setUp(create);
    expect(await call(await tokenOf(kind, startMs + 24 * hourMs))).toBe("taken");
    expect(await call(await tokenOf(kind, startMs + 24 * hourMs + 1000))).toBe("issued in the future");
  }
}

test("a token that is dated more than a day ahead is refused", () => boundsHowFar(createTokenVerifier));

/** What was revoked after the clock of auth was put back stays so for as long as its tokens that are dated ahead may be good. */
async function remembersRevocations(create: Create): Promise<void> {
  const issueMs = startMs + 23 * hourMs;
  for (const kind of kindNames) {
    const { time, verifier, call } = setUp(create);
    const token = await tokenOf(kind, issueMs);
    await call(token);
    verifier.deviceRevoked("d1");
    verifier.sessionRevoked("s1", issueMs);
    verifier.serviceWithdrawn("access", issueMs);
    for (const atMs of [0, hourMs, 23 * hourMs, 23 * hourMs + kinds[kind].lifeMs - 1000]) {
      time.monotonicMs = atMs;
      // Others that are revoked meanwhile make no room.
      verifier.deviceRevoked("other");
      verifier.sessionRevoked("other", issueMs);
      expect([kind, atMs, await call(token)]).toMatchObject([
        kind,
        atMs,
        expect.stringMatching(/revoked|withdrawn|expired/),
      ]);
    }
    // What is issued from then on, dated after the withdrawal, is good at once.
    const next = await tokenOf("service", issueMs + 1000);
    time.monotonicMs = 0;
    expect(await call(next)).toBe("taken");
  }
}

test("a token that is dated ahead stays revoked until it ends", () => remembersRevocations(createTokenVerifier));

/** A session is revoked while the clock of this process runs an hour ahead, which is then put back. */
async function hearsWhileAhead(create: Create): Promise<void> {
  const { time, verifier, call } = setUp(create);
  const token = await tokenOf("person", startMs);
  time.aheadMs = hourMs;
  verifier.sessionRevoked("s1", startMs);
  time.aheadMs = 0;
  expect(await call(token)).toBe("session revoked");
}

test("a session that was revoked while the clock of this process ran ahead stays so", () =>
  hearsWhileAhead(createTokenVerifier));

/** Auth and this process, by one clock three hours ahead, issue a token, take it and end its session. Then the clock is put back. */
async function remembersWhatEndedAhead(create: Create): Promise<void> {
  for (const putBackMs of [minuteMs, 20 * minuteMs]) {
    const { time, verifier, call } = setUp(create);
    time.aheadMs = 3 * hourMs;
    const token = await tokenOf("person", startMs + 3 * hourMs);
    expect(await call(token)).toBe("taken");
    verifier.sessionRevoked("s1", startMs + 3 * hourMs);
    time.monotonicMs = putBackMs;
    time.aheadMs = 0;
    for (const atMs of [putBackMs, 17 * minuteMs + putBackMs, 3 * hourMs, 3 * hourMs + 14 * minuteMs]) {
      time.monotonicMs = atMs;
      verifier.sessionRevoked("other", startMs + atMs); // Makes no room.
      expect([atMs, await call(token)]).toEqual([atMs, "session revoked"]);
    }
  }
}

test("a session that ended while all clocks ran ahead stays so until its tokens have ended by the clock that was put back", () =>
  remembersWhatEndedAhead(createTokenVerifier));

/** A process that starts hears of many sessions that ended long ago: of them it remembers so many. */
async function keepsRoom(create: Create): Promise<void> {
  const { verifier, call } = setUp(create);
  for (let session = 0; session < 100_000; session += 1) {
    verifier.sessionRevoked(`old ${session}`, startMs - 17 * minuteMs);
  }
  const token = await tokenOf("person", startMs);
  verifier.sessionRevoked("s1", startMs - 17 * minuteMs);
  expect(await call(token)).toBe("taken");
  verifier.sessionRevoked("s1", startMs - 15 * minuteMs);
  expect(await call(token)).toBe("session revoked");
}

test("sessions that ended long ago leave room for those whose tokens may be good", () =>
  keepsRoom(createTokenVerifier));

test.each([
  ["tokens dated ahead are refused", "clock.now() + tokenAheadMsMax", "clock.now() + clockSkewMs", takesTokensAhead],
  [
    "they begin a new life whenever they come",
    "if (keys.has(known.keyId) && isAhead(known.issueMs, clock)) return admitLate(known);",
    "",
    takesTokensAhead,
  ],
  [
    "they live until the end that they name",
    "const sinceMs = isAhead(issueMs, clock) ? clock.now() : issueMs;",
    "const sinceMs = issueMs;",
    takesTokensAhead,
  ],
  ["they may be dated ahead by any time", "if (issueMs > clock.now() + tokenAheadMsMax)", "if (false)", boundsHowFar],
  [
    "devices are forgotten while their tokens live",
    "= tokenAheadMsMax + deviceTokenLifeMsMax +",
    "= deviceTokenLifeMsMax +",
    remembersRevocations,
  ],
  [
    "sessions are forgotten before their tokens live",
    "if (isAhead(untilMs, clock)) return revokedAhead.add(sessionId);",
    "if (isAhead(untilMs, clock)) return revoked.add(sessionId);",
    remembersRevocations,
  ],
  [
    "sessions that ended while the clock was ahead are forgotten with it",
    "revokedAhead.add(sessionId, isPast ? pastSessionsMax : daySessionsMax);",
    "",
    remembersWhatEndedAhead,
  ],
  [
    "sessions that seem to have ended are not remembered",
    "revoked.add(sessionId, isPast ? pastSessionsMax : revokedSessionsMax);\n      revokedAhead.add(sessionId, isPast ? pastSessionsMax",
    "revoked.add(sessionId, isPast ? 0 : revokedSessionsMax);\n      revokedAhead.add(sessionId, isPast ? 0",
    hearsWhileAhead,
  ],
  [
    "old sessions fill the memory",
    "const isPast = untilMs < clock.now() - revocationLifeMs;",
    "const isPast = untilMs < 0;",
    keepsRoom,
  ],
  [
    "sessions are held for past too soon",
    "untilMs < clock.now() - revocationLifeMs",
    "untilMs < clock.now() - 60_000",
    keepsRoom,
  ],
] as const)("mutant: %s", async (_, from, to, check) => {
  const path = join(import.meta.dir, "token-verifier.ts");
  const mutant = await importMutant<{ createTokenVerifier: Create }>(path, from, to);
  await caught(() => check(mutant.createTokenVerifier));
});
