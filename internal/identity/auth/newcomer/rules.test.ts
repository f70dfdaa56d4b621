import { afterEach, describe, expect, jest, spyOn, test } from "bun:test";
import { AccountService } from "../../../gen/muin/identity/v1/account_service_pb.ts";
import { AuthService } from "../../../gen/muin/identity/v1/auth_service_pb.ts";
import { CredentialService } from "../../../gen/muin/identity/v1/credential_service_pb.ts";
import {
  UserProfileSchema,
  UserStatusChangedSchema,
  type UserCreated,
} from "../../../gen/muin/identity/v1/user_events_pb.ts";
import { UserStatus } from "../../../gen/muin/identity/v1/user_pb.ts";
import type { Caller } from "../../../platform/identity/caller.ts";
import type { ServiceInfo } from "../../../platform/service/define-service.ts";
import { openPersonal } from "../../../shared/person/person-seal.ts";
import { PersonKeyService } from "../../../gen/muin/identity/v1/person_key_service_pb.ts";
import {
  mutantOf,
  outcomeOf,
  personOfToken,
  service,
  startAuth,
  statementsDuring,
  type AuthFixture,
} from "../auth-fixture.ts";
import { auth as real } from "../definition.ts";

const ada = { email: "ada@example.org", password: "correct horse battery", displayName: "Ada" };
const badToken = "Unauthenticated MAIL_TOKEN_INVALID";
const badPassword = "Unauthenticated CREDENTIALS_INVALID";
const dayMs = 86_400_000;
const verifySubject = "Verify your e-mail address";
const operator: Caller = { kind: "api_key", id: "k1", principal: "api_key:k1", scopes: new Set(["users.manage"]) };

afterEach(() => {
  jest.restoreAllMocks();
});

/** How many rows each of these tables has. */
async function rowsOf(auth: AuthFixture): Promise<Record<string, number>> {
  const [row] = await auth.database.sql<Record<string, number>[]>`
    SELECT (SELECT count(*)::int FROM accounts) AS accounts, (SELECT count(*)::int FROM person_keys) AS keys,
      (SELECT count(*)::int FROM sessions) AS sessions, (SELECT count(*)::int FROM newcomers) AS newcomers,
      (SELECT count(*)::int FROM mail_tokens) AS tokens, (SELECT count(*)::int FROM platform.outbox) AS events`;
  return row ?? {};
}

/** The name and address that the newest UserCreated tells. */
async function toldOf(auth: AuthFixture): Promise<{ readonly email: string; readonly displayName: string }> {
  const created = (await auth.events()).findLast(({ $typeName }) => $typeName.endsWith("UserCreated")) as UserCreated;
  const keys = auth.as(PersonKeyService, { caller: service });
  const { personKeys } = await keys.getPersonKeys({ personIds: [created.userId] });
  const { email, displayName } = openPersonal(UserProfileSchema, created.profile!, personKeys[0]!.key);
  return { email, displayName };
}

describe("who signs up", () => {
  test("has nothing before they show that the address is theirs, and then an account, a session and a name", async () => {
    await using auth = await startAuth();
    const anybody = auth.as(AuthService);
    const accepted = await anybody.signUp(ada);
    expect(accepted).toMatchObject({ accepted: true, userId: "" });
    expect(accepted.tokens).toBeUndefined();
    const [mail] = await auth.mails();
    expect(await rowsOf(auth)).toEqual({ accounts: 0, keys: 0, sessions: 0, newcomers: 1, tokens: 1, events: 0 });
    expect(await outcomeOf(anybody.signIn(ada))).toBe(badPassword);

    const credentials = auth.as(CredentialService);
    const { userId, tokens } = await credentials.verifyEmail({ token: mail?.token ?? "" });
    expect(personOfToken(tokens?.accessToken ?? "")).toMatchObject({ id: userId });
    expect(await rowsOf(auth)).toEqual({ accounts: 1, keys: 1, sessions: 1, newcomers: 0, tokens: 0, events: 1 });
    expect(await toldOf(auth)).toEqual({ email: ada.email, displayName: "Ada" });
    expect(await outcomeOf(credentials.verifyEmail({ token: mail?.token ?? "" }))).toBe(badToken);
    expect(await outcomeOf(anybody.signIn(ada))).toBe("done");
    const mine = auth.as(CredentialService, { caller: personOfToken(tokens?.accessToken ?? "") });
    expect((await mine.getCredentials({})).credentials?.emailVerifyTime).toBeDefined();
  });

  test("with an address that somebody else signed up with before begins with the password of their own", async () => {
    await using auth = await startAuth();
    const anybody = auth.as(AuthService);
    const credentials = auth.as(CredentialService);
    await anybody.signUp({ ...ada, password: "eves own horse", displayName: "Eve" });
    await anybody.signUp(ada);
    await anybody.signUp({ ...ada, password: "eves other horse", displayName: "Eve" });
    const [eves, own, other] = (await auth.mails()).map(({ token }) => token);
    await credentials.verifyEmail({ token: own ?? "" });
    for (const token of [eves, other])
      expect(await outcomeOf(credentials.verifyEmail({ token: token ?? "" }))).toBe(badToken);
    expect(await outcomeOf(anybody.signIn(ada))).toBe("done");
    expect(await outcomeOf(anybody.signIn({ ...ada, password: "eves own horse" }))).toBe(badPassword);
    expect((await rowsOf(auth))["newcomers"]).toBe(0);
  });

  test("is forgotten after 7 days with all that was kept of it", async () => {
    await using auth = await startAuth();
    await auth.as(AuthService).signUp(ada);
    const [mail] = await auth.mails();
    auth.clock.advance(7 * dayMs - 60_000);
    await auth.prune();
    expect(await rowsOf(auth)).toMatchObject({ newcomers: 1, tokens: 1 });
    auth.clock.advance(60_000);
    expect(await outcomeOf(auth.as(CredentialService).verifyEmail({ token: mail?.token ?? "" }))).toBe(badToken);
    await auth.prune();
    expect(await rowsOf(auth)).toEqual({ accounts: 0, keys: 0, sessions: 0, newcomers: 0, tokens: 0, events: 0 });
  });

  test("mutants: what is not pruned stays, and who is erased stays as who signed up once more", async () => {
    const kept = await mutantOf("retention/rules.ts", "await newcomers.prune(tx, nowMs, rowsMax);", "");
    await using auth = await startAuth({ definition: kept });
    await auth.as(AuthService).signUp(ada);
    auth.clock.advance(8 * dayMs);
    await auth.prune();
    expect(await rowsOf(auth)).toMatchObject({ newcomers: 1 });
    const line = "await newcomers.removeByEmail(tx, account.email);";
    for (const [definition, left] of [
      [real, 0],
      [await mutantOf("personal-data/rules.ts", line, ""), 1],
    ] as const) {
      await using other = await startAuth({ definition });
      const { userId } = await other.signUp(ada);
      await other.as(AuthService).signUp(ada);
      await other.deliver(UserStatusChangedSchema, { userId, status: UserStatus.DELETED, aggregateVersion: 1n });
      expect(await rowsOf(other)).toMatchObject({ accounts: 0, newcomers: left });
    }
  });

  test("can verify to the last of the 7 days", async () => {
    await using auth = await startAuth();
    await auth.as(AuthService).signUp(ada);
    const [mail] = await auth.mails();
    auth.clock.advance(7 * dayMs - 60_000);
    expect(await outcomeOf(auth.as(CredentialService).verifyEmail({ token: mail?.token ?? "" }))).toBe("done");
  });
});

/** What signing up does and says for an address with an account and for one without: statements, reply, computations. */
async function compared(definition: ServiceInfo): Promise<readonly unknown[]> {
  await using auth = await startAuth({ definition });
  await auth.signUp(ada);
  const hash = spyOn(Bun.password, "hash");
  const seen: unknown[] = [];
  for (const email of [ada.email, "nobody@example.org"]) {
    hash.mockClear();
    const { statements, reply } = await statementsDuring(auth, () => auth.as(AuthService).signUp({ ...ada, email }));
    seen.push({ statements, reply, hashed: hash.mock.calls.length });
  }
  jest.restoreAllMocks();
  return seen;
}

describe("an address that has an account", () => {
  test("is answered, and costs, the same as one without, and its owner gets a mail that says so", async () => {
    const [known, unknown] = await compared(real);
    expect(known).toMatchObject({ hashed: 1, reply: { accepted: true } });
    expect(known).toEqual(unknown);

    await using auth = await startAuth();
    const { userId } = await auth.signUp(ada);
    await auth.as(AuthService).signUp({ ...ada, password: "eves own horse" });
    expect(await auth.mails()).toMatchObject([
      { subject: verifySubject },
      { to: ada.email, subject: "You have an account", token: "" },
    ]);
    const { userId: same } = await auth.as(AuthService).signIn(ada);
    expect(same).toBe(userId);
  });

  test("mutant: whoever looks first whether there is an account tells it by what is done", async () => {
    const look = "if ((await deps.accounts.findByEmail(database.sql, email)) !== undefined) return undefined;\n";
    const mutant = await mutantOf(
      "newcomer/rules.ts",
      'const asker = { rank: "sign-up", network } as const;',
      `${look} const asker = { rank: "sign-up", network } as const;`,
    );
    const [known, unknown] = await compared(mutant);
    expect(Bun.deepEquals(known, unknown)).toBe(false);
  });

  test("whose account came after the sign-up takes no token of it", async () => {
    await using auth = await startAuth();
    await auth.as(AuthService).signUp({ ...ada, password: "eves own horse" });
    const [mail] = await auth.mails();
    await auth.database.sql`INSERT INTO accounts SELECT gen_random_uuid(), ${ada.email}, '', '', 1, now(), now()`;
    expect(await outcomeOf(auth.as(CredentialService).verifyEmail({ token: mail?.token ?? "" }))).toBe(badToken);
  });
});

/** What stands of what somebody else set, once the owner of the address has proven it by a reset. */
async function leftAfterReset(definition: ServiceInfo): Promise<unknown> {
  await using auth = await startAuth({ definition });
  const anybody = auth.as(AuthService);
  await anybody.signUp({ ...ada, password: "eves own horse", displayName: "Eve" });
  const credentials = auth.as(CredentialService);
  await credentials.requestPasswordReset({ email: ada.email });
  const mails = await auth.mails();
  const tokenOf = (subject: string): string => mails.find((mail) => mail.subject === subject)?.token ?? "";
  await credentials.resetPassword({ token: tokenOf("Set a new password"), newPassword: ada.password });
  return {
    mine: await outcomeOf(anybody.signIn(ada)),
    eves: await outcomeOf(anybody.signIn({ ...ada, password: "eves own horse" })),
    verify: await outcomeOf(credentials.verifyEmail({ token: tokenOf(verifySubject) })),
    told: await toldOf(auth),
  };
}

describe("a first proof by a new password", () => {
  const wiped = { mine: "done", eves: badPassword, verify: badToken, told: { email: ada.email, displayName: "" } };

  test("begins the account, with nothing of the sign-up", async () => {
    expect(await leftAfterReset(real)).toEqual(wiped);
  });

  test("mutants: what was set before stays", async () => {
    const named = await mutantOf("account/recovery.ts", 'displayName: "" }', "displayName: newcomer.displayName }");
    expect(await leftAfterReset(named)).not.toEqual(wiped);
  });
});

/** How many of `times` sign-ups are taken, the network of each given by its number. */
async function taken(auth: AuthFixture, times: number, addressOf: (time: number) => string): Promise<number> {
  let count = 0;
  for (let time = 0; time < times; time++) {
    const client = auth.as(AuthService, { address: addressOf(time) });
    const outcome = await outcomeOf(client.signUp({ ...ada, email: `${time % 2 === 0 ? "ada" : time}@example.org` }));
    if (outcome === "done") count++;
    else expect(outcome).toBe("ResourceExhausted QUOTA_EXHAUSTED");
  }
  return count;
}

const here = (): string => "203.0.113.1";
const anywhere = (time: number): string => `203.0.113.${time}`;

describe("within an hour", () => {
  test("a network signs up so often, whatever comes of it, and others go on", async () => {
    await using auth = await startAuth({ config: { signUpsPerNetworkMax: 4 } });
    await auth.signUp(ada);
    expect(await taken(auth, 9, here)).toBe(4);
    expect(await outcomeOf(auth.as(AuthService).signUp({ ...ada, email: "new@example.org" }))).toBe("done");
    auth.clock.advance(3_600_000);
    expect(await taken(auth, 9, here)).toBe(4);
  });

  test("a network, and all together, have so many mails sent", async () => {
    await using auth = await startAuth({ config: { mailsPerNetworkMax: 3, mailsMax: 5 } });
    expect(await taken(auth, 9, here)).toBe(3);
    expect(await taken(auth, 9, anywhere)).toBe(2);
  });

  test("one address gets 5 mails", async () => {
    await using auth = await startAuth();
    for (let time = 0; time < 9; time++) await auth.as(AuthService).signUp(ada);
    expect(await auth.mails()).toHaveLength(5);
    const known = await startAuth();
    await known.signUp(ada);
    for (let time = 0; time < 9; time++) await known.as(AuthService).signUp(ada);
    expect((await known.mails()).filter(({ subject }) => subject === "You have an account")).toHaveLength(5);
    await known[Symbol.asyncDispose]();
  });

  test("mutants: neither sign-ups nor mails are counted", async () => {
    const free = await mutantOf("newcomer/rules.ts", '(await quotas.take("SIGN_UP", network)) ??', "");
    await using endless = await startAuth({ definition: free, config: { signUpsPerNetworkMax: 4 } });
    expect(await taken(endless, 9, here)).toBe(9);
    const flood = await mutantOf("newcomer/rules.ts", '?? (await quotas.take("VERIFY_EMAIL", network))', "");
    await using flooded = await startAuth({ definition: flood, config: { mailsPerNetworkMax: 3 } });
    expect(await taken(flooded, 9, here)).toBe(9);
  });
});

const invite = (auth: AuthFixture, email: string, requestId = "") =>
  auth.as(AccountService, { caller: operator }).inviteUser({ email, requestId });
const invitedToken = async (auth: AuthFixture): Promise<string> =>
  (await auth.mails()).findLast(({ subject }) => subject === "You are invited")?.token ?? "";

describe("where people are invited", () => {
  test.each([
    ["invite", "PermissionDenied INVITATION_REQUIRED", "done"],
    ["closed", "PermissionDenied SIGN_UP_CLOSED", "PermissionDenied SIGN_UP_CLOSED"],
    ["open", "done", "done"],
  ] as const)("%s: who signs up gets %p, who invites %p", async (signUp, strangers, inviters) => {
    await using auth = await startAuth({ config: { signUp } });
    expect(await outcomeOf(auth.as(AuthService).signUp(ada))).toBe(strangers);
    expect(await outcomeOf(invite(auth, "bob@example.org"))).toBe(inviters);
    const acceptance = { token: "A".repeat(43), password: ada.password };
    expect(await outcomeOf(auth.as(AuthService).acceptInvitation(acceptance))).toBe(
      signUp === "closed" ? inviters : badToken,
    );
  });

  test("who is invited chooses a password and is signed in, once", async () => {
    await using auth = await startAuth({ config: { signUp: "invite" } });
    const { invitation } = await invite(auth, " ADA@example.org");
    expect(invitation).toMatchObject({ email: ada.email });
    expect(Number(invitation?.expireTime?.seconds) - Number(invitation?.createTime?.seconds)).toBe(7 * 86_400);
    const token = await invitedToken(auth);
    const { password, displayName } = ada;
    const anybody = auth.as(AuthService);
    const { userId, tokens } = await anybody.acceptInvitation({ token, password, displayName });
    expect(personOfToken(tokens?.accessToken ?? "")).toMatchObject({ id: userId, scopes: new Set() });
    expect(await toldOf(auth)).toEqual({ email: ada.email, displayName: "Ada" });
    expect(await outcomeOf(anybody.acceptInvitation({ token, password }))).toBe(badToken);
    expect(await outcomeOf(anybody.signIn(ada))).toBe("done");
    expect(await outcomeOf(invite(auth, ada.email))).toBe("AlreadyExists EMAIL_TAKEN");
    const acts = await auth.database.sql<{ act: string }[]>`
      SELECT action || ' ' || principal AS act FROM audit_log WHERE action IN ('INVITE_PERSON', 'SIGN_UP') ORDER BY audit_id`;
    expect(acts.map(({ act }) => act)).toEqual(["INVITE_PERSON api_key:k1", `SIGN_UP person:${userId}`]);
  });

  test("an invitation ends after 7 days, and its token neither verifies an address nor sets a password", async () => {
    await using auth = await startAuth({ config: { signUp: "invite" } });
    await invite(auth, ada.email);
    const token = await invitedToken(auth);
    const credentials = auth.as(CredentialService);
    expect(await outcomeOf(credentials.verifyEmail({ token }))).toBe(badToken);
    expect(await outcomeOf(credentials.resetPassword({ token, newPassword: ada.password }))).toBe(badToken);
    auth.clock.advance(7 * dayMs);
    const hash = spyOn(Bun.password, "hash");
    expect(await outcomeOf(auth.as(AuthService).acceptInvitation({ token, password: ada.password }))).toBe(badToken);
    expect(hash).not.toHaveBeenCalled();
  });

  test("one request is one invitation and one mail, also when it comes many times at once", async () => {
    await using auth = await startAuth();
    const ids = await Promise.all(
      Array.from({ length: 8 }, async () => (await invite(auth, ada.email, "request-1")).invitation?.invitationId),
    );
    expect(new Set(ids).size).toBe(1);
    expect(await auth.mails()).toHaveLength(1);
    expect(await outcomeOf(invite(auth, "bob@example.org", "request-1"))).toBe("InvalidArgument REQUEST_ID_REUSED");
    expect((await invite(auth, ada.email, "request-2")).invitation?.invitationId).not.toBe(ids[0]);
  });

  test("10 000 are open at the most", async () => {
    await using auth = await startAuth();
    await auth.database.sql`
      INSERT INTO newcomers SELECT gen_random_uuid(), n || '@example.org', '', NULL, 'person:1', '', now(), now() + interval '7 days'
      FROM generate_series(1, 9999) n`;
    expect(await outcomeOf(invite(auth, ada.email))).toBe("done");
    expect(await outcomeOf(invite(auth, ada.email))).toBe("FailedPrecondition TOO_MANY_INVITATIONS");
  });

  test("who signed up while everybody could, and not verified, gets no account any more", async () => {
    const asked = await mutantOf("newcomer/rules.ts", "if (closed !== undefined) return closed;", "");
    await using auth = await startAuth({ definition: asked, config: { signUp: "invite" } });
    await auth.as(AuthService).signUp(ada);
    const [mail] = await auth.mails();
    await auth.as(CredentialService).requestPasswordReset({ email: ada.email });
    const reset = (await auth.mails()).at(-1)?.token ?? "";
    const credentials = auth.as(CredentialService);
    const required = "PermissionDenied INVITATION_REQUIRED";
    expect(await outcomeOf(credentials.verifyEmail({ token: mail?.token ?? "" }))).toBe(required);
    expect(await outcomeOf(credentials.resetPassword({ token: reset, newPassword: ada.password }))).toBe(required);
    expect(await rowsOf(auth)).toMatchObject({ accounts: 0 });
  });
});
