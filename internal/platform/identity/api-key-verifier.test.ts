import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import type { Clock } from "../clock/clock.ts";
import type { MuinError } from "../errors/muin-error.ts";
import { importMutant } from "../testing/mutant.ts";
import { createApiKeyVerifier, type ApiKeyVerifierDeps, type VerifiedApiKey } from "./api-key-verifier.ts";
import { identityErrors } from "./errors.ts";

type Create = typeof createApiKeyVerifier;

const key: VerifiedApiKey = { id: "k1", scopes: ["counts.read"], expireTimeMs: undefined };
const caller = { kind: "api_key", id: "k1", principal: "api_key:k1", scopes: new Set(["counts.read"]) } as const;

/** A verifier with a clock, a bus and an auth that the test holds in its hand. */
function setUp(create: Create = createApiKeyVerifier) {
  const state = {
    nowMs: 1_000_000,
    heartbeatAgeMs: 0,
    asked: 0,
    answer: async (_secretHash: Uint8Array): Promise<VerifiedApiKey | undefined> => key,
  };
  const clock: Clock = {
    now: () => state.nowMs,
    monotonic: () => state.nowMs,
    sleep: () => Promise.reject(new Error("nothing sleeps here")),
  };
  const deps: ApiKeyVerifierDeps = {
    verifyApiKey: (secretHash) => {
      state.asked++;
      return state.answer(secretHash);
    },
    heartbeatAgeMs: () => state.heartbeatAgeMs,
    refused: (why) => identityErrors.credentialsInvalid({ message: why }),
    clock,
    log: { debug: () => {}, info: () => {}, warn: () => {}, error: () => {}, child: () => deps.log },
  };
  const verifier = create(deps);
  /** "sync" and "asked" when accepted, else the error's code. */
  const call = async (secret = "muin_secret", address = "192.0.2.1"): Promise<string> => {
    try {
      const result = verifier.callerOf(secret, { address: () => address });
      expect(await result).toEqual(caller);
      return result instanceof Promise ? "asked" : "sync";
    } catch (error) {
      return (error as MuinError).code;
    }
  };
  return { state, verifier, call };
}

/** Whatever was answered so far has been worked in. */
const answersArrived = () => new Promise((resolve) => setImmediate(resolve));

const source = join(import.meta.dir, "api-key-verifier.ts");
const mutant = async (from: string, to: string): Promise<Create> =>
  (await importMutant<{ createApiKeyVerifier: Create }>(source, from, to)).createApiKeyVerifier;

/** Calls until the last millisecond of a key, and from then on with auth away; and how often auth was asked. */
async function pastEnd(create?: Create) {
  const { state, call } = setUp(create);
  state.answer = async () => ({ ...key, expireTimeMs: 1_000_010 });
  const first = await call();
  state.nowMs = 1_000_009;
  const last = await call();
  state.nowMs = 1_000_010;
  state.answer = () => Promise.reject(new Error("auth is away"));
  return [first, last, await call(), state.asked];
}

describe("a key that auth confirmed", () => {
  test("is accepted at once for 60 seconds, then asked for again", async () => {
    const { state, call } = setUp();
    expect(await call()).toBe("asked");
    state.nowMs += 29_999;
    expect([await call(), state.asked]).toEqual(["sync", 1]);
    state.nowMs += 60_000;
    expect([await call(), state.asked]).toEqual(["asked", 2]);
  });

  test("is confirmed anew beside its calls while it is in use", async () => {
    const { state, call } = setUp();
    await call();
    state.nowMs += 30_000;
    expect([await call(), state.asked]).toEqual(["sync", 2]);
    await answersArrived();
    state.nowMs += 59_999;
    state.answer = async () => undefined;
    expect([await call(), state.asked]).toEqual(["sync", 3]);
    await answersArrived();
    expect(await call()).toBe("unauthenticated");
  });

  test("is refused at its end, by the clock, without a question", async () => {
    expect(await pastEnd()).toEqual(["asked", "sync", "unauthenticated", 1]);
    const endless = await mutant("clock.now() >= known.expireTimeMs || ", "");
    expect(await pastEnd(endless)).toEqual(["asked", "sync", "sync", 1]);
  });

  test("is not accepted once its revocation is heard", async () => {
    const { state, verifier, call } = setUp();
    expect(await call()).toBe("asked");
    verifier.apiKeyRevoked("k1");
    expect(await call()).toBe("unauthenticated");
    expect(state.asked).toBe(1);
  });
});

/** A question that began before the revocation is answered, falsely by now, after it. */
async function revokeDuringQuestion(create?: Create): Promise<readonly string[]> {
  const { state, verifier, call } = setUp(create);
  const answered = Promise.withResolvers<VerifiedApiKey>();
  state.answer = () => answered.promise;
  const early = call();
  verifier.apiKeyRevoked("k1");
  const late = call(); // Joins the question under way.
  answered.resolve(key);
  return [await early, await late, await call()];
}

test("an answer that is older than a revocation is not kept", async () => {
  expect(await revokeDuringQuestion()).toEqual(["unauthenticated", "unauthenticated", "unauthenticated"]);
  // Mutant: the answer is kept without a look at what was revoked meanwhile.
  const careless = await mutant("if (!isGood(known)) throw refused", "if (false) throw refused");
  expect(await revokeDuringQuestion(careless)).toContain("asked");
  // Mutant: revocations are not remembered.
  const forgetful = await mutant(
    "apiKeyRevoked: (apiKeyId) => revoked.add(apiKeyId)",
    "apiKeyRevoked: () => undefined",
  );
  expect(await revokeDuringQuestion(forgetful)).toContain("asked");
});

/** How a cached key fares while the bus says nothing: with auth there, and revoked there unheard. */
async function revokeInSilence(create?: Create): Promise<readonly string[]> {
  const { state, call } = setUp(create);
  const seen = [await call(), await call()];
  state.nowMs += 3000;
  state.heartbeatAgeMs = 2000;
  seen.push(await call());
  state.heartbeatAgeMs = 2001;
  seen.push(await call());
  state.answer = async () => undefined;
  state.nowMs += 1000;
  seen.push(await call());
  return seen;
}

test("cached keys are asked for again when the heartbeat is older than 2 seconds", async () => {
  expect(await revokeInSilence()).toEqual(["asked", "sync", "sync", "asked", "unauthenticated"]);
  // Mutant: the heartbeat is not looked at.
  const trusting = await mutant("deps.heartbeatAgeMs() > heartbeatAgeMsMax", "false");
  expect(await revokeInSilence(trusting)).toEqual(["asked", "sync", "sync", "sync", "sync"]);
});

test("what was confirmed before a silence is asked for again after it", async () => {
  const { state, call } = setUp();
  state.answer = async () => key;
  expect(await call()).toBe("asked");
  state.nowMs += 3000;
  state.heartbeatAgeMs = 3000;
  expect(await call()).toBe("asked");
  state.nowMs += 500;
  expect(await call()).toBe("sync"); // Asked less than a second ago.
  state.nowMs += 500;
  state.heartbeatAgeMs = 0;
  expect(await call()).toBe("asked"); // Its revocation may still be on the way.
  state.nowMs += 2000;
  expect(await call()).toBe("sync");
});

/** How long a confirmed key lives while neither the bus nor auth answers, in seconds. */
async function lifeWithoutAuth(create?: Create): Promise<number> {
  const { state, call } = setUp(create);
  expect(await call()).toBe("asked");
  state.answer = () => Promise.reject(new Error("auth is away"));
  state.heartbeatAgeMs = Number.POSITIVE_INFINITY;
  for (let second = 1; second <= 200; second++) {
    state.nowMs += 1000;
    if ((await call()) === "unavailable") return second;
  }
  return Number.POSITIVE_INFINITY;
}

/** What becomes of a key that auth had confirmed when revocations were missed: before, at once, and after its question. */
async function afterMissing(create?: Create): Promise<readonly string[]> {
  const { state, verifier, call } = setUp(create);
  await call();
  state.nowMs += 1000;
  const before = await call();
  verifier.revocationsMissed();
  state.answer = async () => undefined;
  return [before, await call()];
}

test("when revocations were missed, every key is asked for again", async () => {
  expect(await afterMissing()).toEqual(["sync", "unauthenticated"]);
});

test("mutant: keys that are kept although revocations were missed are found out", async () => {
  const broken = await mutant(
    "revocationsMissed: () => void (silentAtMs = clock.monotonic()),",
    "revocationsMissed: () => undefined,",
  );
  expect(await afterMissing(broken)).toEqual(["sync", "sync"]);
});

test("with auth away too, a key stays valid for 60 seconds from its last confirmation", async () => {
  expect(await lifeWithoutAuth()).toBe(60);
  // Mutant: a failed question counts as a confirmation.
  const hopeful = await mutant(
    "if (before !== undefined && isGood(before)) return before.caller;",
    "if (before !== undefined) { keys.set(hash, { ...before, confirmedAtMs: askedAtMs }); return before.caller; }",
  );
  expect(await lifeWithoutAuth(hopeful)).toBe(Number.POSITIVE_INFINITY);
});

test("calls with one key share one question", async () => {
  const { state, call } = setUp();
  const answered = Promise.withResolvers<VerifiedApiKey>();
  state.answer = () => answered.promise;
  const calls = Array.from({ length: 50 }, () => call());
  answered.resolve(key);
  expect(new Set(await Promise.all(calls))).toEqual(new Set(["asked"]));
  expect(state.asked).toBe(1);
});

test("an unknown secret is not asked for twice in 5 seconds", async () => {
  const { state, call } = setUp();
  state.answer = async () => undefined;
  expect([await call(), await call(), state.asked]).toEqual(["unauthenticated", "unauthenticated", 1]);
  state.nowMs += 5000;
  state.answer = async () => key;
  expect(await call()).toBe("asked");
});

test("random secrets fill neither memory nor auth", async () => {
  const { state, call } = setUp();
  const answered = Promise.withResolvers<undefined>();
  state.answer = () => answered.promise;
  const calls = Array.from({ length: 1000 }, (_, index) => call(`muin_${index}`, `192.0.${index >> 8}.${index & 255}`));
  const refusedAtOnce = await Promise.all(calls.slice(128));
  expect(new Set(refusedAtOnce)).toEqual(new Set(["resource_exhausted"]));
  expect(state.asked).toBe(128);
  answered.resolve(undefined);
  await Promise.all(calls);
});

/** A flood of random keys from one network: what it costs auth, and what others and good keys are answered meanwhile. */
async function floodOf(create?: Create) {
  const { state, call } = setUp(create);
  const good = new Set(["muin_secret", "muin_new"].map((secret) => Bun.SHA256.hash(secret, "base64")));
  state.answer = async (hash) => (good.has(Buffer.from(hash).toString("base64")) ? key : undefined);
  const guess = async (count: number): Promise<number> => {
    const before = state.asked;
    for (let time = 0; time < count; time++) await call(`muin_${state.nowMs}_${time}`);
    return state.asked - before;
  };
  await call(); // A good key, from the same network.
  const [asked, inTheSameSecond] = [await guess(1000), await guess(1000)];
  const guessed = await call("muin_guess");
  const cached = await call();
  const elsewhere = await call("muin_new", "192.0.2.2");
  state.nowMs += 1000;
  const reserved = await guess(1000);
  state.nowMs += 61_000;
  state.heartbeatAgeMs = 9000; // The good key has to be asked for again.
  const perMinute = await guess(1000);
  const confirmedAnew = await call();
  return { asked, inTheSameSecond, guessed, cached, elsewhere, reserved, perMinute, confirmedAnew };
}

const flooded = {
  asked: 30,
  inTheSameSecond: 0,
  guessed: "resource_exhausted",
  cached: "sync",
  elsewhere: "asked",
  reserved: 1,
  perMinute: 30,
  confirmedAnew: "asked",
};

test("a flood of random keys from one network costs auth 30 questions a minute, and one a second beyond", async () => {
  expect(await floodOf()).toEqual(flooded);
});

test("a good key that was not seen yet gets through beside guesses, and is then counted as none", async () => {
  const { state, call } = setUp();
  state.answer = async () => undefined;
  for (let time = 0; time < 100; time++) await call(`muin_${time}`);
  state.answer = async () => key;
  expect(await call()).toBe("resource_exhausted");
  state.nowMs += 1000;
  expect([await call(), await call()]).toEqual(["asked", "sync"]);
});

test("good keys are no failures, nor is auth that cannot be asked", async () => {
  const { state, call } = setUp();
  for (let time = 0; time < 100; time++) expect(await call(`muin_${time}`)).toBe("asked");
  state.answer = () => Promise.reject(new Error("auth is away"));
  for (let time = 100; time < 200; time++) expect(await call(`muin_${time}`)).toBe("unavailable");
});

test.each([
  ["without a bound each key is asked for", "if (!failures.charge(network)) throw", "if (false) throw"],
  ["one bound for all networks", 'networkOf(peer?.address() ?? "")', '""'],
  [
    "a key that was confirmed counts among the strange",
    "if (known !== undefined || questions.has",
    "if (questions.has",
  ],
])("mutant: %s", async (_, from, to) => {
  expect(await floodOf(await mutant(from, to))).not.toEqual(flooded);
});
