import { expect, test } from "bun:test";
import { AccountService } from "../../../gen/muin/identity/v1/account_service_pb.ts";
import { ApiKeyService } from "../../../gen/muin/identity/v1/api_key_service_pb.ts";
import { AuthService } from "../../../gen/muin/identity/v1/auth_service_pb.ts";
import { CredentialService } from "../../../gen/muin/identity/v1/credential_service_pb.ts";
import type { ServiceInfo } from "../../../platform/service/define-service.ts";
import { secretHashOf } from "../api-key/secret.ts";
import { mutantOf, newAdministrator, outcomeOf, service, startAuth } from "../auth-fixture.ts";
import { auth as real } from "../definition.ts";

const ada = { email: "ada@example.org", password: "correct horse battery" };
const refused = "FailedPrecondition EMAIL_NOT_VERIFIED";
const badToken = "Unauthenticated MAIL_TOKEN_INVALID";

/** What an account from before a proof of the address was asked for gets, and what its password, session and key get once it is proven. */
async function gotten(definition: ServiceInfo): Promise<unknown> {
  await using auth = await startAuth({ definition });
  const anybody = auth.as(AuthService);
  const admin = await newAdministrator(auth, ada.email);
  const { secret } = await auth
    .as(ApiKeyService, { caller: admin })
    .createApiKey({ displayName: "k", scopes: ["counts.read"] });
  const { tokens } = await anybody.signIn(ada);
  const { sql } = auth.database;
  await sql`UPDATE accounts SET email_verify_time = NULL`;
  let refreshToken = tokens?.refreshToken ?? "";
  const get = async () => ({
    signIn: await outcomeOf(anybody.signIn(ada)),
    refresh: await outcomeOf(
      anybody.refreshToken({ refreshToken }).then((reply) => (refreshToken = reply.tokens?.refreshToken ?? "")),
    ),
    key: await outcomeOf(
      auth.as(ApiKeyService, { caller: service }).verifyApiKey({ secretHash: secretHashOf(secret) }),
    ),
  });
  const before = await get();
  const token = (await auth.mails()).at(-1)?.token ?? "";
  return {
    before,
    verified: await outcomeOf(auth.as(CredentialService).verifyEmail({ token })),
    again: await outcomeOf(auth.as(CredentialService).verifyEmail({ token })),
    after: await get(),
  };
}

const all = (outcome: string) => ({ signIn: outcome, refresh: outcome, key: outcome });
const right = {
  before: { ...all(refused), key: "Unauthenticated API_KEY_INVALID" },
  verified: "done",
  again: badToken,
  after: all("done"),
};

test("an account from before a proof was asked for gets no tokens until it is proven, and sign-in sends the mail for it", async () => {
  expect(await gotten(real)).toEqual(right);
});

test.each([
  [
    "signs in",
    "account/sign-in.ts",
    "if (!account.isEmailVerified) return askForProof(tx, deps, account.email, charged);",
    "",
  ],
  ["gets no mail", "account/sign-in.ts", 'await mails.add(tx, "VERIFY_EMAIL", email);', "void mails;"],
  [
    "refreshes",
    "session/refresh.ts",
    'if ((await accounts.find(tx, userId))?.isEmailVerified === false) return refuse("emailNotVerified");',
    "",
  ],
  ["keeps its keys", "api-key/rules.ts", "owner.isSuspended || !owner.isEmailVerified", "owner.isSuspended"],
])("mutant: one that %s all the same", async (_, file, from, to) => {
  expect(await gotten(await mutantOf(file, from, to))).not.toEqual(right);
});

/** What the second step of a sign-in gets that began while the address was proven. */
async function secondStep(definition: ServiceInfo): Promise<string> {
  await using auth = await startAuth({ definition });
  const { userId } = await auth.signUp(ada);
  await auth.database.sql`INSERT INTO totp_factors VALUES (${userId}, '', now(), now(), 0)`;
  const anybody = auth.as(AuthService);
  const { challenge } = await anybody.signIn(ada);
  await auth.database.sql`UPDATE accounts SET email_verify_time = NULL`;
  return await outcomeOf(anybody.completeSignIn({ challenge, code: "123456" }));
}

test("nor by the second step of a sign-in", async () => {
  expect(await secondStep(real)).toBe(refused);
  const mutant = await mutantOf(
    "account/sign-in.ts",
    "if (account?.isEmailVerified === false) return askForProof(tx, deps, email, charged);",
    "",
  );
  expect(await secondStep(mutant)).not.toBe(refused);
});

test("the right password of such an account, however often, locks nobody out", async () => {
  await using auth = await startAuth();
  await auth.signUp(ada);
  await auth.database.sql`UPDATE accounts SET email_verify_time = NULL`;
  const outcomes = new Set<string>();
  for (let time = 0; time < 12; time++) outcomes.add(await outcomeOf(auth.as(AuthService).signIn(ada)));
  expect([...outcomes]).toEqual([refused]);
});

/** Which accounts auth says are to go a moment before the end of their time and at it, and what then comes of a proof by each token. */
async function lapses(definition: ServiceInfo): Promise<unknown> {
  await using auth = await startAuth({ definition });
  const { userId } = await auth.signUp(ada);
  await auth.signUp({ ...ada, email: "bob@example.org" });
  const endMs = auth.clock.now() + 3_600_000;
  await auth.database.sql`
    UPDATE accounts SET email_verify_time = NULL, prove_by_time = ${new Date(endMs)} WHERE user_id = ${userId}`;
  const credentials = auth.as(CredentialService);
  await outcomeOf(auth.as(AuthService).signIn(ada));
  const verify = (await auth.mails()).at(-1)?.token ?? "";
  auth.clock.advance(3_540_000);
  await credentials.requestPasswordReset({ email: ada.email });
  const reset = (await auth.mails()).at(-1)?.token ?? "";
  const accounts = auth.as(AccountService, { caller: service });
  const before = (await accounts.listLapsedAccounts({})).userIds;
  auth.clock.advance(60_001);
  return {
    before,
    isListed: (await accounts.listLapsedAccounts({})).userIds.join() === userId,
    verify: await outcomeOf(credentials.verifyEmail({ token: verify })),
    reset: await outcomeOf(credentials.resetPassword({ token: reset, newPassword: "another horse" })),
  };
}

const over = { before: [], isListed: true, verify: badToken, reset: badToken };

test("an account that nobody proved in time is listed to go, and nothing proves it any more", async () => {
  expect(await lapses(real)).toEqual(over);
});

test("mutant: it is proven all the same", async () => {
  const late = await mutantOf("account/proven.ts", "nowMs >= proveByTimeMs", "nowMs < 0");
  expect(await lapses(late)).not.toEqual(over);
});
