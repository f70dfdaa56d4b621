import { describe, expect, spyOn, test } from "bun:test";
import { join } from "node:path";
import { AuthService } from "../../../gen/muin/identity/v1/auth_service_pb.ts";
import { CredentialService } from "../../../gen/muin/identity/v1/credential_service_pb.ts";
import { UserStatus } from "../../../gen/muin/identity/v1/user_pb.ts";
import { UserStatusChangedSchema } from "../../../gen/muin/identity/v1/user_events_pb.ts";
import { systemRandom } from "../../../platform/clock/random.ts";
import { importMutant } from "../../../platform/testing/mutant.ts";
import type { ServiceInfo } from "../../../platform/service/define-service.ts";
import { mutantOf, outcomeOf, personOfToken, startAuth, type AuthFixture, type From } from "../auth-fixture.ts";
import { auth as real } from "../definition.ts";
import { isRefusal } from "../../../platform/errors/refusal.ts";
import { createLockout } from "../lockout/rules.ts";
import { postgresLockoutStore } from "../lockout/store-postgres.ts";
import { base32, totpCode, totpStepAt } from "./totp.ts";
import { createVault } from "../secret/vault.ts";

const ada = { email: "ada@example.org", password: "correct horse battery" };
const stepMs = 30_000;
const badCode = "Unauthenticated CODE_INVALID";

/** What an authenticator app does: the secret as it was typed in gives codes. */
function createApp(auth: AuthFixture, secret: string): { code: (steps?: number) => string } {
  const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
  const bits = Array.from(secret, (letter) => alphabet.indexOf(letter).toString(2).padStart(5, "0")).join("");
  const bytes = Uint8Array.from(bits.match(/.{8}/g) ?? [], (byte) => Number.parseInt(byte, 2));
  expect(base32(bytes)).toBe(secret);
  return { code: (steps = 0) => totpCode(bytes, totpStepAt(auth.clock.now()) + steps) };
}

/** An account with a second factor in force, in a step whose code was not used. */
async function enrol(auth: AuthFixture, from: From = {}) {
  const { userId, tokens } = await auth.signUp(ada, from);
  const mine = auth.as(CredentialService, { ...from, caller: personOfToken(tokens?.accessToken ?? "") });
  const { secret, uri } = await mine.beginTotp({ currentPassword: ada.password });
  const app = createApp(auth, secret);
  const { recoveryCodes } = await mine.confirmTotp({ code: app.code() });
  auth.clock.advance(2 * stepMs);
  return { userId, mine, app, recoveryCodes, uri, secret };
}

const challengeOf = async (auth: AuthFixture, from?: From): Promise<string> =>
  (await auth.as(AuthService, from).signIn(ada)).challenge;

describe("a second factor", () => {
  test("is asked for at sign-in once an app has shown to have it, and no more once it is disabled", async () => {
    await using auth = await startAuth();
    const client = auth.as(AuthService);
    const { tokens } = await auth.signUp(ada);
    const mine = auth.as(CredentialService, { caller: personOfToken(tokens?.accessToken ?? "") });
    expect(await outcomeOf(mine.beginTotp({ currentPassword: "wrong horse" }))).toBe(
      "PermissionDenied PASSWORD_INVALID",
    );
    expect(await outcomeOf(mine.confirmTotp({ code: "123456" }))).toBe("FailedPrecondition NO_SECOND_FACTOR");
    const { secret, uri } = await mine.beginTotp({ currentPassword: ada.password });
    expect(uri).toBe(`otpauth://totp/Muin:ada%40example.org?secret=${secret}&issuer=Muin`);
    // Begun, it binds nobody.
    expect((await client.signIn(ada)).tokens).toBeDefined();
    const app = createApp(auth, secret);
    expect(await outcomeOf(mine.confirmTotp({ code: app.code(5) }))).toBe(
      "PermissionDenied SECOND_FACTOR_CODE_INVALID",
    );
    const { recoveryCodes } = await mine.confirmTotp({ code: app.code() });
    expect(new Set(recoveryCodes).size).toBe(10);
    expect(recoveryCodes.filter((code) => !/^[a-z2-7]{5}-[a-z2-7]{5}$/.test(code))).toEqual([]);
    expect((await mine.getCredentials({})).credentials).toMatchObject({ totpEnabled: true, recoveryCodesLeft: 10 });
    expect(await outcomeOf(mine.beginTotp({ currentPassword: ada.password }))).toBe(
      "FailedPrecondition SECOND_FACTOR_SET",
    );

    auth.clock.advance(stepMs);
    const first = await client.signIn(ada);
    expect(first.tokens).toBeUndefined();
    const second = await client.completeSignIn({ challenge: first.challenge, code: ` ${app.code()} ` });
    expect(second.userId).toBe(first.userId);
    expect(personOfToken(second.tokens?.accessToken ?? "").id).toBe(first.userId);
    // A challenge is good for one session.
    auth.clock.advance(stepMs);
    expect(await outcomeOf(client.completeSignIn({ challenge: first.challenge, code: app.code() }))).toBe(
      "Unauthenticated CHALLENGE_INVALID",
    );

    auth.clock.advance(stepMs);
    const proof = { currentPassword: ada.password, code: app.code() };
    expect(await outcomeOf(mine.disableTotp({ ...proof, code: "000000" }))).toBe(
      "PermissionDenied SECOND_FACTOR_CODE_INVALID",
    );
    expect(await outcomeOf(mine.disableTotp({ ...proof, currentPassword: "wrong horse" }))).toBe(
      "PermissionDenied PASSWORD_INVALID",
    );
    await mine.disableTotp(proof);
    expect((await client.signIn(ada)).tokens).toBeDefined();
    expect((await mine.getCredentials({})).credentials).toMatchObject({ totpEnabled: false, recoveryCodesLeft: 0 });
    expect(await outcomeOf(mine.disableTotp(proof))).toBe("FailedPrecondition NO_SECOND_FACTOR");
  });

  test("that is lost is removed by who may, with every session and what was begun; nothing else is", async () => {
    await using auth = await startAuth();
    const { userId, mine } = await enrol(auth);
    const challenge = await challengeOf(auth);
    const scopes = new Set(["users.manage", "scopes.manage"]);
    const support = { kind: "api_key", id: "support", principal: "api_key:support", scopes } as const;
    const manager = auth.as(CredentialService, { caller: support });
    for (const nobody of ["me", systemRandom.uuid()]) {
      expect(await outcomeOf(manager.resetTotp({ userId: nobody }))).toBe("NotFound USER_NOT_FOUND");
    }
    await manager.resetTotp({ userId });
    expect(await outcomeOf(manager.resetTotp({ userId }))).toBe("FailedPrecondition NO_SECOND_FACTOR");
    const live = await auth.database.sql`SELECT 1 FROM sessions WHERE user_id = ${userId} AND end_time IS NULL`;
    expect(live).toHaveLength(0);
    expect(await outcomeOf(auth.as(AuthService).completeSignIn({ challenge, code: "000000" }))).toBe(
      "Unauthenticated CHALLENGE_INVALID",
    );
    expect((await auth.as(AuthService).signIn(ada)).tokens).toBeDefined();
    expect((await mine.getCredentials({})).credentials).toMatchObject({ totpEnabled: false, recoveryCodesLeft: 0 });
    const acts = await auth.database.sql<{ principal: string; subject: string }[]>`
      SELECT principal, subject FROM audit_log WHERE action = 'RESET_TOTP'`;
    expect([...acts]).toEqual([{ principal: "api_key:support", subject: `person:${userId}` }]);
  });

  test("stands in the database sealed, recovery codes and challenges as hashes", async () => {
    await using auth = await startAuth();
    const { recoveryCodes, secret } = await enrol(auth);
    const challenge = await challengeOf(auth);
    const [row] = await auth.database.sql<{ all: string }[]>`
      SELECT (SELECT string_agg(t::text, '') FROM totp_factors t) || (SELECT string_agg(r::text, '') FROM recovery_codes r)
        || (SELECT string_agg(c::text, '') FROM sign_in_challenges c) || (SELECT string_agg(a::text, '') FROM audit_log a)
        AS all`;
    const forms = [secret, challenge, ...recoveryCodes, ...recoveryCodes.map((code) => code.replace("-", ""))];
    const hex = forms.map((form) => Buffer.from(form).toString("hex"));
    expect([...forms, ...hex].filter((form) => row?.all.includes(form))).toEqual([]);
  });

  test("a secret that no app has shown to have is forgotten after 15 minutes", async () => {
    await using auth = await startAuth();
    const { tokens } = await auth.signUp(ada);
    const mine = auth.as(CredentialService, { caller: personOfToken(tokens?.accessToken ?? "") });
    const { secret } = await mine.beginTotp({ currentPassword: ada.password });
    auth.clock.advance(15 * 60_000 + 1);
    const code = createApp(auth, secret).code();
    expect(await outcomeOf(mine.confirmTotp({ code }))).toBe("FailedPrecondition NO_SECOND_FACTOR");
  });
});

/** Whether a code of the app, or of recovery, opens two sessions. */
async function usedTwice(definition: ServiceInfo): Promise<boolean> {
  await using auth = await startAuth({ definition });
  const { app, recoveryCodes } = await enrol(auth);
  const use = async (code: string): Promise<boolean> => {
    const step = { challenge: await challengeOf(auth), code };
    return (await outcomeOf(auth.as(AuthService).completeSignIn(step))) === "done";
  };
  let twice = false;
  for (const code of [app.code(), recoveryCodes[0]!]) twice ||= (await use(code)) && (await use(code));
  return twice;
}

describe("a code", () => {
  test("is good once, also when two come at once, and none before it is good after it", async () => {
    await using auth = await startAuth();
    const { app } = await enrol(auth);
    const client = auth.as(AuthService);
    const challenges = await Promise.all(Array.from({ length: 5 }, () => challengeOf(auth)));
    const code = app.code();
    const earlier = app.code(-1);
    const outcomes = await Promise.all(
      challenges.map((challenge) => outcomeOf(client.completeSignIn({ challenge, code }))),
    );
    expect(outcomes.toSorted()).toEqual([...Array<string>(4).fill(badCode), "done"]);
    expect(await outcomeOf(client.completeSignIn({ challenge: await challengeOf(auth), code: earlier }))).toBe(badCode);
    auth.clock.advance(stepMs);
    expect(await outcomeOf(client.completeSignIn({ challenge: await challengeOf(auth), code }))).toBe(badCode);
    expect(await outcomeOf(client.completeSignIn({ challenge: await challengeOf(auth), code: app.code() }))).toBe(
      "done",
    );
  });

  test("used to confirm the factor is used up", async () => {
    await using auth = await startAuth();
    const { tokens } = await auth.signUp(ada);
    const mine = auth.as(CredentialService, { caller: personOfToken(tokens?.accessToken ?? "") });
    const app = createApp(auth, (await mine.beginTotp({ currentPassword: ada.password })).secret);
    const code = app.code();
    await mine.confirmTotp({ code });
    const challenge = await challengeOf(auth);
    expect(await outcomeOf(auth.as(AuthService).completeSignIn({ challenge, code }))).toBe(badCode);
  });

  test("of recovery is good once, in the way people copy it", async () => {
    await using auth = await startAuth();
    const { mine, recoveryCodes } = await enrol(auth);
    const client = auth.as(AuthService);
    const [first = "", second = ""] = recoveryCodes;
    const complete = async (code: string): Promise<string> =>
      outcomeOf(client.completeSignIn({ challenge: await challengeOf(auth), code }));
    expect(await complete(first)).toBe("done");
    expect(await complete(first)).toBe(badCode);
    expect(await complete(` ${second.toUpperCase().replace("-", " ")}`)).toBe("done");
    expect((await mine.getCredentials({})).credentials?.recoveryCodesLeft).toBe(8);
    const rows = await auth.database.sql<{ act: string }[]>`
      SELECT action || ' ' || outcome || ' ' || detail AS act FROM audit_log ORDER BY audit_id`;
    expect(rows.map(({ act }) => act.trimEnd()).filter((act) => !act.startsWith("CREATE_SIGNING_KEY"))).toEqual([
      "REQUEST_SIGN_UP DONE",
      "SIGN_UP DONE",
      "BEGIN_TOTP DONE",
      "CONFIRM_TOTP DONE",
      "SIGN_IN DONE RECOVERY_CODE",
      "SIGN_IN REFUSED",
      "SIGN_IN DONE RECOVERY_CODE",
    ]);
  });

  test.each([
    ["is taken again", "Math.max(now - driftSteps, last + 1)", "now - driftSteps", "factor/totp.ts"],
    [
      "is not marked as used",
      "UPDATE totp_factors SET used_step = ${usedStep} WHERE",
      "UPDATE totp_factors SET used_step = 0 WHERE",
      "factor/store-postgres.ts",
    ],
    [
      "of recovery stays",
      "DELETE FROM recovery_codes WHERE",
      "UPDATE recovery_codes SET user_id = user_id WHERE",
      "factor/store-postgres.ts",
    ],
  ])("mutant: one %s", async (_, from, to, file) => {
    expect(await usedTwice(await mutantOf(file, from, to))).toBe(true);
    expect(await usedTwice(real)).toBe(false);
  });
});

describe("guesses", () => {
  test("are counted, and the right password in between does not clear them", async () => {
    await using auth = await startAuth();
    const { app } = await enrol(auth, { address: "198.51.100.1" });
    const elsewhere = { address: "203.0.113.1" };
    const client = auth.as(AuthService, elsewhere);
    const outcomes: string[] = [];
    for (let guess = 0; guess < 15; guess++) {
      const challenge = await challengeOf(auth, elsewhere).catch(() => undefined);
      if (challenge === undefined) break;
      outcomes.push(await outcomeOf(client.completeSignIn({ challenge, code: "000000" })));
    }
    expect(outcomes).toEqual(Array<string>(10).fill(badCode));
    expect(await outcomeOf(client.signIn(ada))).toBe("ResourceExhausted SIGN_IN_LOCKED");
    // Her own network is not held.
    const home = { address: "198.51.100.1" };
    const challenge = await challengeOf(auth, home);
    expect(await outcomeOf(auth.as(AuthService, home).completeSignIn({ challenge, code: app.code() }))).toBe("done");
  });

  test("with one challenge are counted too, and cost no computation of a password", async () => {
    await using auth = await startAuth();
    await enrol(auth, { address: "198.51.100.1" });
    const elsewhere = { address: "203.0.113.1" };
    const challenge = await challengeOf(auth, elsewhere);
    const verify = spyOn(Bun.password, "verify");
    const client = auth.as(AuthService, elsewhere);
    const outcomes = await Promise.all(
      Array.from({ length: 30 }, () => outcomeOf(client.completeSignIn({ challenge, code: "000000" }))),
    );
    expect(outcomes.filter((outcome) => outcome === badCode)).toHaveLength(10);
    expect(outcomes.filter((outcome) => outcome === "ResourceExhausted SIGN_IN_LOCKED")).toHaveLength(20);
    expect(verify).not.toHaveBeenCalled();
    verify.mockRestore();
  });

  test("mutant: a step that forgives all gives codes to guess without end", async () => {
    const mutant = await importMutant<{ createLockout: typeof createLockout }>(
      join(import.meta.dir, "../lockout/rules.ts"),
      'success === "whole" && (kind === "pair"',
      '(kind === "pair"',
    );
    await using auth = await startAuth();
    const { database, clock, config } = auth;
    const vault = createVault(config.keyEncryptionSecret, systemRandom);
    const guesses = async (create: typeof createLockout, email: string): Promise<number> => {
      const lockout = create({ database, store: postgresLockoutStore, vault, clock });
      const attempt = { email, network: email };
      for (let done = 0; done < 40; done++) {
        const password = await lockout.charge(attempt);
        if (isRefusal(password)) return done;
        await database.transaction((tx) => lockout.forgive(tx, password, "step"));
        if (isRefusal(await lockout.charge(attempt))) return done;
      }
      return 40;
    };
    expect(await guesses(createLockout, "a@example.org")).toBeLessThan(11);
    expect(await guesses(mutant.createLockout, "b@example.org")).toBe(40);
  });
});

describe("a challenge", () => {
  test("ends after five minutes, with a change of the password, and with a suspension", async () => {
    await using auth = await startAuth();
    const { userId, app, mine } = await enrol(auth);
    const client = auth.as(AuthService);
    const complete = (challenge: string): Promise<string> =>
      outcomeOf(client.completeSignIn({ challenge, code: app.code() }));
    const late = await challengeOf(auth);
    auth.clock.advance(5 * 60_000);
    expect(await complete(late)).toBe("Unauthenticated CHALLENGE_INVALID");
    await auth.prune();
    expect(await auth.database.sql`SELECT 1 FROM sign_in_challenges`).toHaveLength(0);

    const before = await challengeOf(auth);
    const { tokens } = await client.completeSignIn({ challenge: await challengeOf(auth), code: app.code() });
    const changed = { currentPassword: ada.password, newPassword: "another horse" };
    await auth.as(AuthService, { caller: personOfToken(tokens?.accessToken ?? "") }).changePassword(changed);
    auth.clock.advance(stepMs);
    expect(await complete(before)).toBe("Unauthenticated CHALLENGE_INVALID");

    const { challenge } = await client.signIn({ ...ada, password: changed.newPassword });
    const status = UserStatus.SUSPENDED;
    await auth.deliver(UserStatusChangedSchema, { userId, status, aggregateVersion: 1n });
    expect(await complete(challenge)).toBe("PermissionDenied ACCOUNT_SUSPENDED");
    expect(await outcomeOf(mine.getCredentials({}))).toBe("done");
  });

  test.each([
    ["", "InvalidArgument FIELD_INVALID"],
    ["\u0000", "InvalidArgument FIELD_INVALID"],
    ["x", "Unauthenticated CHALLENGE_INVALID"],
    ["A".repeat(43), "Unauthenticated CHALLENGE_INVALID"],
  ])("that never was opens nothing: %p", async (challenge, outcome) => {
    await using auth = await startAuth();
    expect(await outcomeOf(auth.as(AuthService).completeSignIn({ challenge, code: "123456" }))).toBe(outcome);
  });

  test("a person has a bounded number of them", async () => {
    await using auth = await startAuth();
    await enrol(auth);
    for (let time = 0; time < 20; time++) await challengeOf(auth);
    expect(await auth.database.sql`SELECT 1 FROM sign_in_challenges`).toHaveLength(16);
  });
});
