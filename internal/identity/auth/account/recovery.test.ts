import { afterEach, describe, expect, jest, spyOn, test } from "bun:test";
import { join } from "node:path";
import { AuthService } from "../../../gen/muin/identity/v1/auth_service_pb.ts";
import { CredentialService } from "../../../gen/muin/identity/v1/credential_service_pb.ts";
import type { SessionRevoked } from "../../../gen/muin/identity/v1/session_events_pb.ts";
import { systemRandom } from "../../../platform/clock/random.ts";
import { timeout } from "../../../platform/lifecycle/timeout.ts";
import { MailRefusedError, type Mail } from "../../../platform/mail/mailer.ts";
import { createMetrics } from "../../../platform/telemetry/create-metrics.ts";
import { eventually } from "../../../platform/testing/eventually.ts";
import { importMutant } from "../../../platform/testing/mutant.ts";
import { systemClock } from "../../../platform/clock/clock.ts";
import {
  connect,
  mutantOf,
  outcomeOf,
  personOfToken,
  startAuth,
  statementsDuring,
  type AuthFixture,
} from "../auth-fixture.ts";
import { auth as real } from "../definition.ts";
import { createMailSender, type MailSender } from "../mail/sender.ts";
import { postgresMailStore } from "../mail/store-postgres.ts";
import { postgresAccountStore } from "./store-postgres.ts";
import { postgresNewcomerStore } from "../newcomer/store-postgres.ts";
import { createVault } from "../secret/vault.ts";

const ada = { email: "ada@example.org", password: "correct horse battery" };
const badToken = "Unauthenticated MAIL_TOKEN_INVALID";
const hourMs = 3_600_000;
const verifySubject = "Verify your e-mail address";
const resetSubject = "Set a new password";

afterEach(() => {
  jest.restoreAllMocks();
});

/** The newest token of a kind that the person got. */
const tokenOf = async (auth: AuthFixture, subject: string, to = ada.email): Promise<string> => {
  const mails = (await auth.mails()).filter((mail) => mail.to === to && mail.subject === subject);
  return mails.at(-1)?.token ?? "";
};

/** Somebody whose account is from before a proof of the address was asked for; their own client. */
async function unproven(auth: AuthFixture) {
  const { userId, tokens } = await auth.signUp(ada);
  await auth.database.sql`UPDATE accounts SET email_verify_time = NULL`;
  return { userId, mine: auth.as(CredentialService, { caller: personOfToken(tokens.accessToken) }) };
}

describe("verifying the address of an account from before that was asked for", () => {
  test("takes the token that its owner asked for, once, and begins no session", async () => {
    await using auth = await startAuth();
    const { userId, mine } = await unproven(auth);
    await mine.sendEmailVerification({});
    const token = await tokenOf(auth, verifySubject);
    const anybody = auth.as(CredentialService);
    expect((await mine.getCredentials({})).credentials?.emailVerifyTime).toBeUndefined();
    const verified = await anybody.verifyEmail({ token });
    expect([verified.userId, verified.tokens]).toEqual([userId, undefined]);
    expect((await mine.getCredentials({})).credentials?.emailVerifyTime).toBeDefined();
    expect(await outcomeOf(anybody.verifyEmail({ token }))).toBe(badToken);
    // There is nothing more to verify.
    await mine.sendEmailVerification({});
    expect(await auth.mails()).toHaveLength(2);
  });

  test("takes no token that has ended, was made for something else, or was made up", async () => {
    await using auth = await startAuth();
    const { mine } = await unproven(auth);
    await mine.sendEmailVerification({});
    const anybody = auth.as(CredentialService);
    await anybody.requestPasswordReset({ email: ada.email });
    const verify = await tokenOf(auth, verifySubject);
    const reset = await tokenOf(auth, resetSubject);
    const tried = [reset, "x", "A".repeat(43), verify.toLowerCase(), `${verify}=`];
    for (const token of tried) expect(await outcomeOf(anybody.verifyEmail({ token }))).toBe(badToken);
    auth.clock.advance(24 * hourMs);
    expect(await outcomeOf(anybody.verifyEmail({ token: verify }))).toBe(badToken);
  });

  test("can be asked for again, but does not fill a mailbox", async () => {
    await using auth = await startAuth();
    const { mine } = await unproven(auth);
    for (let time = 0; time < 20; time++) await mine.sendEmailVerification({});
    expect(await auth.mails()).toHaveLength(1 + 5); // Beside that of the sign-up.
    auth.clock.advance(hourMs + 1);
    await mine.sendEmailVerification({});
    expect(await auth.mails()).toHaveLength(1 + 6);
  });
});

describe("resetting a password", () => {
  test("sets the new one, ends every session, and works once", async () => {
    await using auth = await startAuth();
    const client = auth.as(AuthService);
    const first = await auth.signUp(ada);
    const second = await client.signIn(ada);
    const anybody = auth.as(CredentialService);
    await anybody.requestPasswordReset({ email: " ADA@example.org" });
    await anybody.requestPasswordReset({ email: ada.email });
    const other = await tokenOf(auth, resetSubject);
    const token = (await auth.mails()).find((mail) => mail.subject === resetSubject)?.token ?? "";
    expect(token).not.toBe(other);
    await anybody.resetPassword({ token, newPassword: "another horse" });
    const revoked = (await auth.events()).filter(
      (event): event is SessionRevoked => event.$typeName === "muin.identity.v1.SessionRevoked",
    );
    expect(revoked.map((event) => event.sessionId).toSorted()).toEqual(
      [first, second].map(({ tokens }) => personOfToken(tokens?.accessToken ?? "").sessionId).toSorted(),
    );
    expect(await outcomeOf(client.refreshToken({ refreshToken: first.tokens?.refreshToken ?? "" }))).toBe(
      "Unauthenticated REFRESH_TOKEN_INVALID",
    );
    expect(await outcomeOf(client.signIn(ada))).toBe("Unauthenticated CREDENTIALS_INVALID");
    expect(await outcomeOf(client.signIn({ ...ada, password: "another horse" }))).toBe("done");
    for (const used of [token, other]) {
      expect(await outcomeOf(anybody.resetPassword({ token: used, newPassword: "third horse" }))).toBe(badToken);
    }
  });

  test("is done once when many come with one token, and ends after an hour or with a change of the password", async () => {
    await using auth = await startAuth();
    const { tokens } = await auth.signUp(ada);
    const anybody = auth.as(CredentialService);
    const ask = async (): Promise<string> => {
      await anybody.requestPasswordReset({ email: ada.email });
      return tokenOf(auth, resetSubject);
    };
    const reset = (token: string, horse = 0): Promise<string> =>
      outcomeOf(anybody.resetPassword({ token, newPassword: `horse number ${horse}` }));
    const token = await ask();
    const outcomes = await Promise.all(Array.from({ length: 8 }, (_, horse) => reset(token, horse)));
    expect(outcomes.toSorted()).toEqual([...Array<string>(7).fill(badToken), "done"]);

    const late = await ask();
    auth.clock.advance(hourMs);
    expect(await reset(late)).toBe(badToken);

    const before = await ask();
    const winner = outcomes.indexOf("done");
    await auth.as(AuthService, { caller: personOfToken(tokens?.accessToken ?? "") }).changePassword({
      currentPassword: `horse number ${winner}`,
      newPassword: "another horse",
    });
    expect(await reset(before)).toBe(badToken);
  });

  test("a token that never was costs no computation of a password", async () => {
    await using auth = await startAuth();
    const hash = spyOn(Bun.password, "hash");
    const call = auth.as(CredentialService).resetPassword({ token: "A".repeat(43), newPassword: "another horse" });
    expect(await outcomeOf(call)).toBe(badToken);
    expect(hash).not.toHaveBeenCalled();
  });

  test("asking for it does and says the same for an address without an account, which gets no mail", async () => {
    await using auth = await startAuth();
    await auth.signUp(ada);
    await auth.mails();
    const hash = spyOn(Bun.password, "hash");
    const verify = spyOn(Bun.password, "verify");
    const anybody = auth.as(CredentialService);
    const statementsOf = (email: string) => statementsDuring(auth, () => anybody.requestPasswordReset({ email }));
    const known = await statementsOf(ada.email);
    const unknown = await statementsOf("nobody@example.org");
    expect(known.statements.length).toBeGreaterThan(2);
    expect(unknown).toEqual(known);
    expect([hash.mock.calls.length, verify.mock.calls.length]).toEqual([0, 0]);
    expect((await auth.mails()).map(({ subject }) => subject)).toEqual([verifySubject, resetSubject]);
    expect(await auth.database.sql`SELECT 1 FROM outgoing_mails`).toHaveLength(0);
  });

  test("mutant: whoever looks first whether there is an account does less when there is none", async () => {
    const mutant = await mutantOf(
      "account/recovery.ts",
      "// The same statements whether",
      "if ((await database.sql`SELECT 1 FROM accounts WHERE email = ${email}`).length === 0) return undefined; //",
    );
    for (const [definition, same] of [
      [real, true],
      [mutant, false],
    ] as const) {
      await using auth = await startAuth({ definition });
      await auth.signUp(ada);
      const anybody = auth.as(CredentialService);
      const asked = (email: string) => statementsDuring(auth, () => anybody.requestPasswordReset({ email }));
      const [known, unknown] = [await asked(ada.email), await asked("nobody@example.org")];
      expect(Bun.deepEquals(known, unknown)).toBe(same);
    }
  });

  test("takes as long for an address whose account is locked by another call as for one without an account", async () => {
    await using auth = await startAuth();
    await auth.signUp(ada);
    await using beside = connect(auth.url);
    await beside.transaction(async (tx) => {
      await tx`SELECT 1 FROM accounts FOR UPDATE`;
      // It would wait for the end of this transaction, which waits for it.
      const asked = outcomeOf(auth.as(CredentialService).requestPasswordReset({ email: ada.email }));
      expect(await timeout(systemClock, 5000, asked)).toBe("done");
    });
  });

  test.each([
    ["sessions go on", "await sessions.endAll(tx, userId);", "", { once: true, sessions: 1 }],
    [
      "a token works as often as it comes",
      'if (!(await mailStore.takeToken(tx, "RESET_PASSWORD", tokenHash))) return refuse("mailTokenInvalid");',
      "",
      { once: false, sessions: 0 },
    ],
    [
      "nothing is broken",
      "await sessions.endAll(tx, userId);",
      "await sessions.endAll(tx, userId);",
      { once: true, sessions: 0 },
    ],
  ])("mutant: %s", async (_, from, to, wanted) => {
    await using auth = await startAuth({ definition: await mutantOf("account/recovery.ts", from, to) });
    await auth.signUp(ada);
    await auth.as(CredentialService).requestPasswordReset({ email: ada.email });
    const token = await tokenOf(auth, resetSubject);
    const anybody = auth.as(CredentialService);
    // All find the token before the first of them takes it.
    const { promise: opened, resolve: open } = Promise.withResolvers<void>();
    let hashing = 0;
    const real = Bun.password.hash.bind(Bun.password);
    spyOn(Bun.password, "hash").mockImplementation(async (...given) => {
      if (++hashing === 2) open();
      await opened;
      return real(...given);
    });
    const outcomes = await Promise.all(
      Array.from({ length: 4 }, (_, horse) =>
        outcomeOf(anybody.resetPassword({ token, newPassword: `horse number ${horse}` })),
      ),
    );
    const sessions = await auth.database.sql`SELECT 1 FROM sessions WHERE end_time IS NULL`;
    const done = outcomes.filter((outcome) => outcome === "done");
    expect({ once: done.length === 1, sessions: sessions.length }).toEqual(wanted);
  });

  test("asking for it is limited by network", async () => {
    await using auth = await startAuth();
    const anybody = auth.as(CredentialService);
    let asked = 0;
    while ((await outcomeOf(anybody.requestPasswordReset({ email: `u${asked}@example.org` }))) === "done") asked++;
    expect(asked).toBe(30);
    const elsewhere = auth.as(CredentialService, { address: "203.0.113.7" });
    expect(await outcomeOf(elsewhere.requestPasswordReset({ email: ada.email }))).toBe("done");
  });
});

/** The queue by itself, with a server of which the test decides what it answers. */
function startQueue(
  auth: AuthFixture,
  answer: (mail: Mail, id: string) => Promise<void>,
  create: typeof createMailSender = createMailSender,
): MailSender {
  return create({
    database: auth.database,
    store: postgresMailStore,
    accounts: postgresAccountStore,
    newcomers: postgresNewcomerStore,
    mailer: { destination: "test", send: (id, mail) => answer(mail, id) },
    vault: createVault(auth.config.keyEncryptionSecret, systemRandom),
    clock: auth.clock,
    random: systemRandom,
    log: auth.log,
    metrics: createMetrics(),
  });
}

/** How often one mail is sent, and how many wait, when two processes send at a time; `away`: the server is away. */
async function race(create: typeof createMailSender, away = false): Promise<{ sent: number; left: number }> {
  await using auth = await startAuth();
  await auth.as(AuthService).signUp(ada);
  let sent = 0;
  const { promise: hanging, resolve: release } = Promise.withResolvers<void>();
  const answer = async (): Promise<void> => {
    sent++;
    if (away) throw new Error("away");
    await hanging;
  };
  const first = startQueue(auth, answer, create).send();
  await eventually(() => expect(sent).toBe(1));
  const second = startQueue(auth, answer, create).send();
  release();
  await Promise.all([first, second]);
  return { sent, left: (await auth.database.sql`SELECT 1 FROM outgoing_mails`).length };
}

describe("the queue of mails", () => {
  test("keeps a mail while the server is away, tries again later and later, and sends the same token", async () => {
    await using auth = await startAuth();
    await auth.as(AuthService).signUp(ada);
    const tried: { id: string; text: string; atMs: number }[] = [];
    let isAway = true;
    const sender = startQueue(auth, (mail, id) => {
      tried.push({ id, text: mail.text, atMs: auth.clock.now() });
      return isAway ? Promise.reject(new Error("away")) : Promise.resolve();
    });
    // The outcome of an attempt is not known: the first mail may have arrived.
    for (let minute = 0; minute < 60; minute++) {
      await sender.send();
      auth.clock.advance(60_000);
    }
    const pauses = tried.slice(1).map(({ atMs }, index) => atMs - tried[index]!.atMs);
    expect(tried.length).toBeGreaterThan(4);
    expect(tried.length).toBeLessThan(15);
    expect(Math.max(...pauses)).toBeLessThanOrEqual(17 * 60_000);
    expect(pauses[0]).toBeLessThan(pauses.at(-1)!);
    isAway = false;
    auth.clock.advance(hourMs);
    await sender.send();
    await sender.send();
    expect(new Set(tried.map(({ id }) => id)).size).toBe(1);
    expect(new Set(tried.map(({ text }) => text)).size).toBe(1);
    expect(await auth.database.sql`SELECT 1 FROM outgoing_mails`).toHaveLength(0);
    const token = /^[A-Za-z0-9_-]{43}$/m.exec(tried[0]!.text)?.[0] ?? "";
    expect(await outcomeOf(auth.as(CredentialService).verifyEmail({ token }))).toBe("done");
  });

  test("never makes a caller wait: sign-up is done while the server hangs", async () => {
    await using auth = await startAuth();
    const { promise: hanging, resolve: release } = Promise.withResolvers<void>();
    const sender = startQueue(auth, () => hanging);
    await auth.as(AuthService).signUp(ada);
    const sending = sender.send();
    expect(await outcomeOf(auth.as(AuthService).signUp({ ...ada, email: "bob@example.org" }))).toBe("done");
    expect(await outcomeOf(auth.as(CredentialService).requestPasswordReset({ email: ada.email }))).toBe("done");
    release();
    await sending;
  });

  test("holds no mail of a change that was rolled back", async () => {
    await using auth = await startAuth();
    await auth.database.sql`ALTER TABLE audit_log ADD CONSTRAINT none CHECK (action <> 'REQUEST_SIGN_UP') NOT VALID`;
    expect(await outcomeOf(auth.as(AuthService).signUp(ada))).toBe("Internal INTERNAL");
    expect(await auth.database.sql`SELECT 1 FROM outgoing_mails`).toHaveLength(0);
  });

  test("drops what is refused for good, what is too late, and what goes to nobody", async () => {
    await using auth = await startAuth();
    const left = async (): Promise<number> => (await auth.database.sql`SELECT 1 FROM outgoing_mails`).length;
    await auth.as(AuthService).signUp(ada);
    await startQueue(auth, () => Promise.reject(new MailRefusedError("no such mailbox"))).send();
    expect(await left()).toBe(0);
    await auth.as(CredentialService).requestPasswordReset({ email: ada.email });
    auth.clock.advance(hourMs);
    const sent: Mail[] = [];
    const sender = startQueue(auth, (mail) => {
      sent.push(mail);
      return Promise.resolve();
    });
    await sender.send();
    await auth.as(CredentialService).requestPasswordReset({ email: "nobody@example.org" });
    await sender.send();
    expect([await left(), sent]).toEqual([0, []]);
  });

  test("is bounded: beyond it whatever asks for a mail is refused", async () => {
    await using auth = await startAuth();
    const { mine } = await unproven(auth);
    await auth.database.sql`
      INSERT INTO outgoing_mails SELECT gen_random_uuid(), 'RESET_PASSWORD', NULL, 1, now() + interval '1 day', now()
      FROM generate_series(1, 10000)`;
    const full = "ResourceExhausted MAILS_WAITING";
    expect(await outcomeOf(mine.sendEmailVerification({}))).toBe(full);
    for (const email of [ada.email, "nobody@example.org"]) {
      expect(await outcomeOf(auth.as(CredentialService).requestPasswordReset({ email }))).toBe(full);
    }
    for (const email of [ada.email, "nobody@example.org"]) {
      expect(await outcomeOf(auth.as(AuthService).signUp({ ...ada, email }))).toBe(full);
    }
    expect(await auth.database.sql`SELECT 1 FROM newcomers`).toHaveLength(0);
  });

  test("is worked off by one process at a time", async () => {
    expect(await race(createMailSender)).toEqual({ sent: 1, left: 0 });
    expect(await race(createMailSender, true)).toEqual({ sent: 1, left: 1 });
  });

  test.each([
    [
      "a mail under way can be taken again",
      "const nextMs = nowMs + backoffMs(pause, attempts + 1, random);",
      "const nextMs = nowMs;",
      false,
      { sent: 2, left: 0 },
    ],
    [
      "a mail that failed is gone",
      "if (!(error instanceof MailRefusedError)) {",
      "if (Date.now() < 0) {",
      true,
      { sent: 1, left: 0 },
    ],
  ])("mutant: %s", async (_, from, to, away, wanted) => {
    const mutant = await importMutant<{ createMailSender: typeof createMailSender }>(
      join(import.meta.dir, "../mail/sender.ts"),
      from,
      to,
    );
    expect(await race(mutant.createMailSender, away)).toEqual(wanted);
  });
});
