import { afterEach, describe, expect, jest, spyOn, test } from "bun:test";
import { join } from "node:path";
import { AuthService, type TokenPair } from "../../../gen/muin/identity/v1/auth_service_pb.ts";
import { CredentialService } from "../../../gen/muin/identity/v1/credential_service_pb.ts";
import { PersonKeyService } from "../../../gen/muin/identity/v1/person_key_service_pb.ts";
import { UserProfileSchema, type UserCreated } from "../../../gen/muin/identity/v1/user_events_pb.ts";
import type { SessionRevoked } from "../../../gen/muin/identity/v1/session_events_pb.ts";
import { systemRandom } from "../../../platform/clock/random.ts";
import { openPersonal } from "../../../shared/person/person-seal.ts";
import { importMutant } from "../../../platform/testing/mutant.ts";
import { outcomeOf, personOfToken, service, startAuth } from "../auth-fixture.ts";
import { createPasswordQueue } from "./password.ts";

const ada = { email: "ada@example.org", password: "correct horse battery", displayName: "Ada" };
const bad = "Unauthenticated CREDENTIALS_INVALID";

afterEach(() => {
  jest.restoreAllMocks();
});

describe("sign-up", () => {
  test("makes an account of which no personal field leaves unsealed", async () => {
    await using auth = await startAuth();
    const { userId, tokens } = await auth.signUp(ada);
    expect(personOfToken(tokens?.accessToken ?? "")).toMatchObject({ id: userId, scopes: new Set() });
    const events = await auth.events();
    expect(events).toMatchObject([
      { $typeName: "muin.identity.v1.UserCreated", userId, roles: ["member"], aggregateVersion: 1n },
    ]);
    const rows = await auth.database.sql<{ data: Uint8Array }[]>`SELECT data FROM platform.outbox`;
    expect(Buffer.from(rows[0]?.data ?? []).includes("ada")).toBe(false);

    const profile = (events[0] as UserCreated).profile!;
    const keys = auth.as(PersonKeyService, { caller: service });
    const unknown = "0199c5f2-6f0c-7aa0-8d6e-0a4f3a6b1c55";
    const personIds = [unknown, userId, "nonsense"];
    const { personKeys } = await keys.getPersonKeys({ personIds });
    expect(personKeys.map(({ personId, destroyed, key }) => [personId, destroyed, key.length])).toEqual([
      [unknown, false, 0],
      [userId, false, 32],
      ["nonsense", false, 0],
    ]);
    expect(openPersonal(UserProfileSchema, profile, personKeys[1]!.key)).toMatchObject({
      email: "ada@example.org",
      displayName: "Ada",
    });
    // The key is encrypted at rest.
    const [stored] = await auth.database.sql<{ key_sealed: Uint8Array }[]>`SELECT key_sealed FROM person_keys`;
    expect(Buffer.from(stored?.key_sealed ?? []).includes(personKeys[1]!.key)).toBe(false);

    await auth.database.sql`UPDATE person_keys SET key_sealed = NULL, destroy_time = now()`;
    const after = await keys.getPersonKeys({ personIds: [userId] });
    expect(after.personKeys).toMatchObject([{ personId: userId, destroyed: true, key: new Uint8Array() }]);
    expect(() => openPersonal(UserProfileSchema, profile, systemRandom.bytes(32))).toThrow();
  });

  test("gives an address one account, in whatever spelling, also when many verify it at once", async () => {
    await using auth = await startAuth();
    const client = auth.as(AuthService);
    const accounts = auth.as(CredentialService);
    const spellings = ["ada@example.org", "ADA@EXAMPLE.ORG", "ａｄａ@example.org", "a\u200dda@example.org"];
    await Promise.all(Array.from({ length: 5 }, (_, time) => client.signUp({ ...ada, email: spellings[time % 4]! })));
    const tokens = (await auth.mails()).map(({ token }) => token);
    const outcomes = await Promise.all(tokens.map((token) => outcomeOf(accounts.verifyEmail({ token }))));
    expect(outcomes.toSorted()).toEqual([...Array<string>(4).fill("Unauthenticated MAIL_TOKEN_INVALID"), "done"]);
    expect(await auth.events()).toHaveLength(1);
  });

  test.each([
    ["a short password", { password: "123456789" }],
    ["one that is short in NFKC", { password: "e\u0301".repeat(9) }],
    ["a long password", { password: "x".repeat(257) }],
    ["one that is long in NFKC", { password: "\uFDFA".repeat(15) }],
    ["no address", { email: "ada.example.org" }],
    ["a line end in the name", { displayName: "Ada\r\nBcc: x" }],
    ["a zero in the name", { displayName: "Ada\0" }],
    ["a long name", { displayName: "x".repeat(129) }],
  ])("refuses %s", async (_, change) => {
    await using auth = await startAuth();
    const outcome = await outcomeOf(auth.as(AuthService).signUp({ ...ada, ...change }));
    expect(outcome).toStartWith("InvalidArgument");
  });

  test("refuses what another grammar would read as an address, beside the account that it would be taken for", async () => {
    await using auth = await startAuth();
    await auth.signUp(ada);
    for (const email of [
      "ada@example.org/x",
      "ada@example.org?x",
      "ada@example.org#x",
      "ada@example.org\\x",
      "ada@ex%61mple.org",
      "ada@exa\tmple.org",
      "num@42",
      "num@0x7f.1",
      "num@2130706433",
      "dd@example..org",
      "hy@example-.org",
      "a..b@example.org",
      ".a@example.org",
      "a.@example.org",
    ]) {
      expect([email, await outcomeOf(auth.as(AuthService).signUp({ ...ada, email }))]).toEqual([
        email,
        "InvalidArgument FIELD_INVALID",
      ]);
    }
    expect(await auth.mails()).toHaveLength(1);
  });

  test("leaves nothing behind when its event cannot be recorded", async () => {
    await using auth = await startAuth();
    await auth.database.sql`ALTER TABLE platform.outbox ADD CONSTRAINT none CHECK (false) NOT VALID`;
    await auth.as(AuthService).signUp(ada);
    const [mail] = await auth.mails();
    const verified = (): Promise<string> =>
      outcomeOf(auth.as(CredentialService).verifyEmail({ token: mail?.token ?? "" }));
    expect(await verified()).toBe("Internal INTERNAL");
    await auth.database.sql`ALTER TABLE platform.outbox DROP CONSTRAINT none`;
    const [left] = await auth.database.sql<{ count: string }[]>`
      SELECT (SELECT count(*) FROM accounts) + (SELECT count(*) FROM person_keys) + (SELECT count(*) FROM sessions) AS count`;
    expect(left?.count).toBe("0");
    expect(await verified()).toBe("done");
  });
});

test("a new password is counted in NFKC wherever one is set", async () => {
  await using auth = await startAuth();
  const { tokens } = await auth.signUp(ada);
  const mine = auth.as(AuthService, { caller: personOfToken(tokens?.accessToken ?? "") });
  const token = "a token that nobody has";
  for (const unfit of ["123456789", "e\u0301".repeat(9), "x".repeat(257), "\uFDFA".repeat(15)]) {
    const change = { currentPassword: ada.password, newPassword: unfit };
    for (const call of [
      mine.changePassword(change),
      auth.as(CredentialService).resetPassword({ token, newPassword: unfit }),
      auth.as(AuthService).acceptInvitation({ token, password: unfit }),
    ]) {
      expect(await outcomeOf(call)).toBe("InvalidArgument FIELD_INVALID");
    }
  }
  // Four ligatures of three letters; 256 letters, each with an accent of its own.
  const fit = ["\uFB03".repeat(4), "e\u0301".repeat(256)];
  for (const [place, newPassword] of fit.entries()) {
    const currentPassword = fit[place - 1] ?? ada.password;
    expect(await outcomeOf(mine.changePassword({ currentPassword, newPassword }))).toBe("done");
  }
  expect(await outcomeOf(auth.as(AuthService).signIn({ email: ada.email, password: "\u00E9".repeat(256) }))).toBe(
    "done",
  );
});

describe("sign-in", () => {
  test("answers and costs the same for a wrong password and for an unknown address", async () => {
    await using auth = await startAuth();
    const client = auth.as(AuthService);
    await auth.signUp(ada);
    const verify = spyOn(Bun.password, "verify");
    const hash = spyOn(Bun.password, "hash");
    const answerOf = async (email: string): Promise<unknown> => {
      verify.mockClear();
      const error: unknown = await client.signIn({ email, password: "wrong horse" }).catch((error: unknown) => error);
      expect(verify).toHaveBeenCalledTimes(1);
      // A whole computation with the same parameters: the digest and its salt are as long as a real one's.
      const hashed = verify.mock.calls[0]?.[1];
      expect(hashed).toMatch(/^\$argon2id\$v=19\$m=8,t=1,p=1\$[A-Za-z0-9+/]{43}\$[A-Za-z0-9+/]{43}$/);
      return String(error);
    };
    expect(await answerOf("nobody@example.org")).toEqual(await answerOf(ada.email));
    expect(hash).not.toHaveBeenCalled();
    // A taken address costs a sign-up what a free one does.
    await outcomeOf(client.signUp(ada));
    expect(hash).toHaveBeenCalledTimes(1);
  });

  test("mutant: without the dummy hash an unknown address costs nothing", async () => {
    await using auth = await startAuth();
    const mutant = await importMutant<{ createPasswordQueue: typeof createPasswordQueue }>(
      join(import.meta.dir, "password.ts"),
      "await Bun.password.verify(normalised(password), hash ?? dummy)",
      "hash !== undefined && (await Bun.password.verify(normalised(password), hash))",
    );
    const verify = spyOn(Bun.password, "verify");
    for (const [create, computations] of [
      [createPasswordQueue, 1],
      [mutant.createPasswordQueue, 0],
    ] as const) {
      verify.mockClear();
      const queue = create(auth.config, systemRandom, auth.clock);
      const caller = { rank: "sign-in", network: "192.0.2.1" } as const;
      expect(await queue.run(caller, new AbortController().signal, (hasher) => hasher.verify("x", undefined))).toBe(
        false,
      );
      expect(verify).toHaveBeenCalledTimes(computations);
    }
  });

  test("takes a password in any Unicode form, and no other", async () => {
    await using auth = await startAuth();
    const client = auth.as(AuthService);
    await auth.signUp({ ...ada, password: "pässwörd ﬁnal" });
    expect(await outcomeOf(client.signIn({ ...ada, password: "pässwörd ﬁnal".normalize("NFKD") }))).toBe("done");
    expect(await outcomeOf(client.signIn({ ...ada, password: "Pässwörd ﬁnal" }))).toBe(bad);
  });

  test("finds an account whose address would be refused today", async () => {
    await using auth = await startAuth();
    const client = auth.as(AuthService);
    await auth.signUp(ada);
    await auth.database.sql`UPDATE accounts SET email = 'a..b@example.org'`;
    expect(await outcomeOf(client.signIn({ ...ada, email: "A..b@example.org" }))).toBe("done");
    expect(await outcomeOf(auth.as(CredentialService).requestPasswordReset({ email: "a..b@example.org" }))).toBe(
      "done",
    );
    expect((await auth.mails()).at(-1)?.to).toBe('<"a..b"@example.org>');
  });

  test("takes a password of 256 characters in NFD too, and one from before they were counted in NFKC", async () => {
    await using auth = await startAuth();
    const client = auth.as(AuthService);
    const long = "한".repeat(256);
    await auth.signUp({ ...ada, password: long });
    expect(await outcomeOf(client.signIn({ ...ada, password: long.normalize("NFD") }))).toBe("done");
    const short = "e\u0301".repeat(5);
    const hash = await Bun.password.hash(short.normalize("NFKC"), {
      algorithm: "argon2id",
      memoryCost: 8,
      timeCost: 1,
    });
    await auth.database.sql`UPDATE accounts SET password_hash = ${hash}`;
    expect(await outcomeOf(client.signIn({ ...ada, password: short }))).toBe("done");
  });

  test("renews a hash that was made with other parameters", async () => {
    await using auth = await startAuth();
    const client = auth.as(AuthService);
    await auth.signUp(ada);
    const older = await Bun.password.hash(ada.password, { algorithm: "argon2id", memoryCost: 16, timeCost: 1 });
    await auth.database.sql`UPDATE accounts SET password_hash = ${older}`;
    for (let time = 0; time < 2; time++) expect(await outcomeOf(client.signIn(ada))).toBe("done");
    const [row] = await auth.database.sql<{ password_hash: string }[]>`SELECT password_hash FROM accounts`;
    expect(row?.password_hash).toStartWith("$argon2id$v=19$m=8,t=1,p=1$");
  });

  test("is refused at once when too many wait, and never computes more at a time than it may", async () => {
    await using auth = await startAuth({ config: { argon2Concurrent: 2, argon2Waiting: 10 } });
    const callers = 3000;
    let running = 0;
    let most = 0;
    let refused = 0;
    const { promise: opened, resolve: open } = Promise.withResolvers<void>();
    // Both slots stay taken until everybody has called.
    const openWhenFull = (): void => (running === 2 && refused === callers - 12 ? open() : undefined);
    spyOn(Bun.password, "verify").mockImplementation(async () => {
      most = Math.max(most, ++running);
      openWhenFull();
      await opened;
      running--;
      return false;
    });
    const client = auth.as(AuthService);
    const calls = Array.from({ length: callers }, async (_, caller) => {
      const outcome = await outcomeOf(client.signIn({ email: `u${caller}@example.org`, password: "guess" }));
      if (outcome === "ResourceExhausted OVERLOADED") refused++;
      openWhenFull();
      return outcome;
    });
    const counted = Map.groupBy(await Promise.all(calls), (outcome) => outcome);
    expect(Object.fromEntries([...counted].map(([outcome, all]) => [outcome, all.length]))).toEqual({
      "ResourceExhausted OVERLOADED": callers - 12,
      [bad]: 12,
    });
    expect(most).toBe(2);
  });

  test("does not open a session with a password that was changed meanwhile", async () => {
    await using auth = await startAuth();
    const client = auth.as(AuthService);
    const { tokens } = await auth.signUp(ada);
    const real = Bun.password.verify.bind(Bun.password);
    spyOn(Bun.password, "verify").mockImplementationOnce(async (password, hash) => {
      const matches = await real(password, hash);
      await auth
        .as(AuthService, { caller: personOfToken(tokens?.accessToken ?? "") })
        .changePassword({ currentPassword: ada.password, newPassword: "another horse" });
      return matches;
    });
    expect(await outcomeOf(client.signIn(ada))).toBe(bad);
  });
});

describe("changing the password", () => {
  test("ends all other sessions, and takes no wrong one", async () => {
    await using auth = await startAuth();
    const anybody = auth.as(AuthService);
    const [first, second] = [await auth.signUp(ada), await anybody.signIn(ada)];
    const me = personOfToken(first.tokens?.accessToken ?? "");
    const mine = auth.as(AuthService, { caller: me });
    const change = { currentPassword: ada.password, newPassword: "another horse" };
    expect(await outcomeOf(mine.changePassword({ ...change, currentPassword: "wrong horse" }))).toBe(
      "PermissionDenied PASSWORD_INVALID",
    );
    await mine.changePassword(change);
    const ended = (await auth.events()).slice(1) as SessionRevoked[];
    const other = personOfToken(second.tokens?.accessToken ?? "").sessionId;
    expect(ended).toMatchObject([
      { $typeName: "muin.identity.v1.SessionRevoked", sessionId: other, aggregateVersion: 2n },
    ]);
    const refresh = (tokens: TokenPair | undefined): Promise<string> =>
      outcomeOf(anybody.refreshToken({ refreshToken: tokens?.refreshToken ?? "" }));
    expect([await refresh(first.tokens), await refresh(second.tokens)]).toEqual([
      "done",
      "Unauthenticated REFRESH_TOKEN_INVALID",
    ]);
    expect(await outcomeOf(anybody.signIn(ada))).toBe(bad);
    expect(await outcomeOf(anybody.signIn({ ...ada, password: change.newPassword }))).toBe("done");
  });

  test("gives a stolen access token no free guesses", async () => {
    await using auth = await startAuth();
    const { tokens } = await auth.signUp(ada);
    const thief = auth.as(AuthService, { caller: personOfToken(tokens?.accessToken ?? "") });
    const outcomes: string[] = [];
    for (let guess = 0; guess < 16; guess++) {
      outcomes.push(
        await outcomeOf(thief.changePassword({ currentPassword: `${guess}`, newPassword: "mine, all mine" })),
      );
    }
    expect(outcomes).toEqual([
      ...Array<string>(15).fill("PermissionDenied PASSWORD_INVALID"),
      "ResourceExhausted SIGN_IN_LOCKED",
    ]);
  });
});
