import { afterEach, describe, expect, jest, spyOn, test } from "bun:test";
import { join } from "node:path";
import { AuthService } from "../../gen/muin/identity/v1/auth_service_pb.ts";
import { CredentialService } from "../../gen/muin/identity/v1/credential_service_pb.ts";
import { UserStatus } from "../../gen/muin/identity/v1/user_pb.ts";
import { UserStatusChangedSchema } from "../../gen/muin/identity/v1/user_events_pb.ts";
import { createTokenVerifier } from "../../platform/identity/token-verifier.ts";
import { MuinError } from "../../platform/errors/muin-error.ts";
import { systemClock } from "../../platform/clock/clock.ts";
import { systemRandom } from "../../platform/clock/random.ts";
import { importMutant } from "../../platform/testing/mutant.ts";
import { outcomeOf, personOfToken, startAuth, type AuthFixture } from "./auth-fixture.ts";
import { createPasswordQueue } from "./account/password.ts";
import { scopes } from "../../gen/scopes.ts";
import { base32, totpCode, totpStepAt } from "./factor/totp.ts";

const ada = { email: "ada@example.org", password: "correct horse battery" };
const eve = { email: "eve@example.org", password: "battery horse correct" };

afterEach(() => {
  jest.restoreAllMocks();
});

/** Sets a second factor for a person; returns what makes its codes. */
async function setTotp(auth: AuthFixture, who: typeof ada): Promise<() => string> {
  const secret = Uint8Array.from({ length: 20 }, (_, index) => index);
  const { tokens } = await auth.as(AuthService).signIn(who);
  const mine = auth.as(CredentialService, { caller: personOfToken(tokens?.accessToken ?? "") });
  const bytes = spyOn(systemRandom, "bytes").mockImplementationOnce(() => secret);
  const begun = await mine.beginTotp({ currentPassword: who.password });
  bytes.mockRestore();
  expect(begun.secret).toBe(base32(secret));
  const code = (): string => totpCode(secret, totpStepAt(auth.clock.now()));
  await mine.confirmTotp({ code: code() });
  auth.clock.advance(60_000);
  return code;
}

describe("session fixation", () => {
  test("every sign-in begins a session of its own, whoever calls it, and never goes on with one that somebody brings", async () => {
    await using auth = await startAuth();
    const anybody = auth.as(AuthService);
    await auth.signUp(ada);
    const attacker = await auth.signUp(eve);
    const brought = personOfToken(attacker.tokens?.accessToken ?? "");
    // Ada signs in with a client that an attacker has prepared: it sends the attacker's token with every call.
    const prepared = auth.as(AuthService, { caller: brought });
    const sessions = new Set([brought.sessionId]);
    const refreshTokens = new Set([attacker.tokens?.refreshToken ?? ""]);
    for (let time = 1; time <= 3; time++) {
      const { userId, tokens } = await prepared.signIn(ada);
      const session = personOfToken(tokens?.accessToken ?? "");
      expect(session.id).toBe(userId);
      sessions.add(session.sessionId);
      refreshTokens.add(tokens?.refreshToken ?? "");
      expect([sessions.size, refreshTokens.size]).toEqual([time + 1, time + 1]);
    }
    // The attacker's own session is still the attacker's.
    const { tokens } = await anybody.refreshToken({ refreshToken: attacker.tokens?.refreshToken ?? "" });
    expect(personOfToken(tokens?.accessToken ?? "").id).toBe(attacker.userId);
  });

  test("a challenge is good for its own person's code alone", async () => {
    await using auth = await startAuth();
    const anybody = auth.as(AuthService);
    await auth.signUp(ada);
    await auth.signUp(eve);
    const code = await setTotp(auth, ada);
    const real = systemRandom.bytes.bind(systemRandom);
    const { tokens } = await anybody.signIn(eve);
    const hers = auth.as(CredentialService, { caller: personOfToken(tokens?.accessToken ?? "") });
    const evesSecret = real(20);
    spyOn(systemRandom, "bytes").mockImplementationOnce(() => evesSecret);
    await hers.beginTotp({ currentPassword: eve.password });
    await hers.confirmTotp({ code: totpCode(evesSecret, totpStepAt(auth.clock.now())) });
    const { challenge } = await anybody.signIn(eve);
    expect(await outcomeOf(anybody.completeSignIn({ challenge, code: code() }))).toBe("Unauthenticated CODE_INVALID");
  });
});

describe("confusion of credentials", () => {
  test("each opens what it is for, and nothing else", async () => {
    await using auth = await startAuth();
    const anybody = auth.as(AuthService);
    const accounts = auth.as(CredentialService);
    await auth.signUp(ada);
    const code = await setTotp(auth, ada);
    await auth.signUp(eve);
    const { tokens } = await anybody.signIn(eve);
    await anybody.signUp({ ...eve, email: "mallory@example.org" });
    await accounts.requestPasswordReset({ email: eve.email });
    const mails = await auth.mails();
    const { challenge } = await anybody.signIn(ada);
    const credentials = {
      access: tokens?.accessToken ?? "",
      refresh: tokens?.refreshToken ?? "",
      challenge,
      verify:
        mails.find(({ to, subject }) => to === "mallory@example.org" && subject.startsWith("Verify"))?.token ?? "",
      reset: mails.find(({ to, subject }) => to === eve.email && subject.startsWith("Set"))?.token ?? "",
    };
    const verifier = createTokenVerifier({
      issuer: auth.config.issuer,
      fetchKeys: async () => (await anybody.listKeys({})).keys,
      refused: () => new MuinError({ code: "unauthenticated", reason: "CREDENTIALS_INVALID", message: "refused" }),
      clock: auth.clock,
      log: auth.log,
    });
    // Each use is tried with every credential; the right one last, for it uses it up.
    const uses: Record<keyof typeof credentials, (credential: string) => Promise<unknown>> = {
      access: async (token) => verifier.callerOf(token),
      refresh: (refreshToken) => anybody.refreshToken({ refreshToken: refreshToken.slice(0, 256) }),
      challenge: (text) => anybody.completeSignIn({ challenge: text.slice(0, 64), code: code() }),
      verify: (token) => accounts.verifyEmail({ token: token.slice(0, 64) }),
      reset: (token) => accounts.resetPassword({ token: token.slice(0, 64), newPassword: "another horse" }),
    };
    for (const [use, call] of Object.entries(uses)) {
      for (const [kind, credential] of Object.entries(credentials)) {
        expect(credential).not.toBe("");
        if (kind === use) continue;
        const accepted = await call(credential).then(
          () => true,
          () => false,
        );
        expect({ use, kind, accepted }).toEqual({ use, kind, accepted: false });
      }
    }
    for (const [use, call] of Object.entries(uses)) {
      const credential = credentials[use as keyof typeof credentials];
      await call(credential);
    }
  });
});

describe("enumeration", () => {
  test("a wrong password is answered, and costs, the same for an account that is unknown, open, suspended, or has a second factor", async () => {
    await using auth = await startAuth();
    const anybody = auth.as(AuthService);
    await auth.signUp(ada);
    const { userId } = await auth.signUp({ ...ada, email: "suspended@example.org" });
    await auth.deliver(UserStatusChangedSchema, { userId, status: UserStatus.SUSPENDED, aggregateVersion: 1n });
    await auth.signUp(eve);
    await setTotp(auth, eve);
    await auth.database.sql`UPDATE accounts SET email_verify_time = now() WHERE email = ${ada.email}`;
    const verify = spyOn(Bun.password, "verify");
    const hash = spyOn(Bun.password, "hash");
    const answers: unknown[] = [];
    for (const email of ["nobody@example.org", ada.email, "suspended@example.org", eve.email]) {
      verify.mockClear();
      const error: unknown = await anybody
        .signIn({ email, password: "wrong horse battery" })
        .catch((error: unknown) => error);
      answers.push([String(error), verify.mock.calls.length, hash.mock.calls.length]);
    }
    expect(answers[0]).toEqual([expect.stringContaining("unauthenticated"), 1, 0]);
    expect(answers).toEqual(Array<unknown>(4).fill(answers[0]));
  });
});

describe("lockout", () => {
  test("guesses by every way that takes a password or a code are one count, in whatever spelling of the address", async () => {
    await using auth = await startAuth();
    const home = { address: "198.51.100.1" };
    const { tokens } = await auth.signUp(ada, home);
    const thief = { address: "203.0.113.1", caller: personOfToken(tokens?.accessToken ?? "") };
    const session = auth.as(AuthService, thief);
    const account = auth.as(CredentialService, thief);
    const guess = "wrong horse battery";
    const ways: readonly (() => Promise<unknown>)[] = [
      () => session.signIn({ email: "ADA@example.org", password: guess }),
      () => session.signIn({ email: "ａｄａ@example.org", password: guess }),
      () => session.changePassword({ currentPassword: guess, newPassword: "whatever it is" }),
      () => account.beginTotp({ currentPassword: guess }),
      () => account.disableTotp({ currentPassword: guess, code: "123456" }),
      () => account.confirmTotp({ code: "123456" }),
    ];
    let tried = 0;
    while (!(await outcomeOf(ways[tried % ways.length]!())).endsWith("SIGN_IN_LOCKED")) tried++;
    expect(tried).toBe(10);
    for (const way of ways) expect(await outcomeOf(way())).toBe("ResourceExhausted SIGN_IN_LOCKED");
    expect(await outcomeOf(auth.as(AuthService, home).signIn(ada))).toBe("done");
  });
});

describe("what is too large", () => {
  test("who holds every scope, in the longest session, has a token that every service takes", async () => {
    await using auth = await startAuth({ config: { issuer: `https://${"long-name.".repeat(20)}example.org` } });
    const anybody = auth.as(AuthService);
    const { userId } = await auth.signUp(ada);
    await auth.database.sql`
      INSERT INTO scope_grants SELECT ${userId}, scope, now() FROM unnest(${[...scopes]}::text[]) AS scope`;
    const { tokens } = await anybody.signIn(ada);
    const token = tokens?.accessToken ?? "";
    expect(token.length).toBeLessThan(2048);
    const verifier = createTokenVerifier({
      issuer: auth.config.issuer,
      fetchKeys: async () => (await anybody.listKeys({})).keys,
      refused: (why) => new MuinError({ code: "unauthenticated", reason: "CREDENTIALS_INVALID", message: why }),
      clock: auth.clock,
      log: auth.log,
    });
    expect(await verifier.callerOf(token)).toMatchObject({ id: userId, scopes: new Set<string>(scopes) });
  });

  test("of what a caller says of itself is cut before it is kept, and what it asks for is refused", async () => {
    await using auth = await startAuth();
    const loud = auth.as(AuthService, { userAgent: "x".repeat(5000), address: "2".repeat(5000) });
    await auth.signUp(ada, { userAgent: "x".repeat(5000), address: "2".repeat(5000) });
    const [kept] = await auth.database.sql<{ agent: number; address: number }[]>`
      SELECT max(char_length(user_agent))::int AS agent, max(char_length(address))::int AS address FROM audit_log`;
    expect(kept).toEqual({ agent: 256, address: 64 });
    const accounts = auth.as(CredentialService);
    const refused = "InvalidArgument FIELD_INVALID";
    const large = "x".repeat(10_000);
    expect(await outcomeOf(loud.signIn({ email: `${large}@example.org`, password: "x" }))).toBe(refused);
    expect(await outcomeOf(loud.signIn({ ...ada, password: large }))).toBe(refused);
    expect(await outcomeOf(loud.completeSignIn({ challenge: large, code: "1" }))).toBe(refused);
    expect(await outcomeOf(loud.completeSignIn({ challenge: "x", code: large }))).toBe(refused);
    expect(await outcomeOf(loud.refreshToken({ refreshToken: large }))).toBe(refused);
    expect(await outcomeOf(accounts.verifyEmail({ token: large }))).toBe(refused);
    expect(await outcomeOf(accounts.resetPassword({ token: large, newPassword: "another horse" }))).toBe(refused);
  });
});

describe("header injection", () => {
  test.each([
    "ada@example.org\r\nBcc: eve@example.org",
    "ada@example.org\nBcc: eve@example.org",
    "ada@example.org,eve@example.org",
    "ada@example.org\u2028Bcc: eve@example.org",
    '"ada@example.org> Bcc: <eve"@example.org',
  ])("no mail goes to %p", async (email) => {
    await using auth = await startAuth();
    const outcome = await outcomeOf(auth.as(AuthService).signUp({ ...ada, email }));
    await outcomeOf(auth.as(CredentialService).requestPasswordReset({ email }));
    // Line ends show nothing, so they may vanish; what is left must not be an address with a space or a list.
    expect(outcome).toBe("InvalidArgument FIELD_INVALID");
    expect(await auth.mails()).toEqual([]);
  });

  test("a name with headers in it reaches no mail", async () => {
    await using auth = await startAuth();
    await auth.signUp({ ...ada, displayName: "Bcc: eve@example.org" });
    expect(await auth.mails()).toMatchObject([{ to: ada.email, subject: "Verify your e-mail address" }]);
  });
});

describe("thousands of sign-ins at once", () => {
  const callers = 3000;
  /** Memory of a computation in the tests, and what may be in use beside the running ones, in MiB. */
  const computationMib = 19;
  const growthMibMax = 200;

  /** By how much the process grows at the most while all of them are answered, and how they are. */
  async function flood(create: typeof createPasswordQueue): Promise<{ grownMib: number; refused: number }> {
    const config = {
      argon2MemoryKib: computationMib * 1024,
      argon2Passes: 1,
      argon2Concurrent: 2,
      argon2Waiting: 64,
      argon2WaitingPerNetwork: 64,
      argon2WaitMs: 60_000,
    };
    const queue = create(config, systemRandom, systemClock);
    const caller = { rank: "sign-in", network: "192.0.2.1" } as const;
    const signal = new AbortController().signal;
    await queue.run(caller, signal, (hasher) => hasher.verify("warm", undefined));
    Bun.gc(true);
    const before = process.memoryUsage.rss();
    let most = before;
    const look = (): void => {
      most = Math.max(most, process.memoryUsage.rss());
    };
    let refused = 0;
    await Promise.all(
      Array.from({ length: callers }, () =>
        queue
          .run(caller, signal, async (hasher) => {
            await hasher.verify("guess", undefined);
            look();
          })
          .catch((error: unknown) => {
            if ((error as MuinError).code === "resource_exhausted") refused++;
            look();
          }),
      ),
    );
    return { grownMib: (most - before) / 2 ** 20, refused };
  }

  test("take no more memory than the computations that may run: the others are refused at once", async () => {
    const { grownMib, refused } = await flood(createPasswordQueue);
    expect(refused).toBe(callers - 66);
    expect(grownMib).toBeLessThan(growthMibMax);
  });

  test("mutant: without the bound nobody is refused", async () => {
    const mutant = await importMutant<{ createPasswordQueue: typeof createPasswordQueue }>(
      join(import.meta.dir, "account/password.ts"),
      "concurrentMax: config.argon2Concurrent,",
      "concurrentMax: Infinity,",
    );
    spyOn(Bun.password, "verify").mockResolvedValue(false); // Who waits is counted, not what it would cost.
    expect(await flood(mutant.createPasswordQueue)).toMatchObject({ refused: 0 });
  });
});
