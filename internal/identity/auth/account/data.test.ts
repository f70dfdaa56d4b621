import { isMessage } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { expect, test } from "bun:test";
import { FaceVectorCreatedSchema } from "../../../gen/muin/face/v1/enrolment_events_pb.ts";
import { AccountService } from "../../../gen/muin/identity/v1/account_service_pb.ts";
import { AuthService } from "../../../gen/muin/identity/v1/auth_service_pb.ts";
import { UserCreatedSchema } from "../../../gen/muin/identity/v1/user_events_pb.ts";
import { outcomeOf, service, startAuth } from "../auth-fixture.ts";

const ada = { email: "ada@example.org", password: "correct horse battery", displayName: "Ada" };

test("another service copies all that is kept of a person, but for secrets and for what is others'", async () => {
  await using auth = await startAuth();
  const { userId } = await auth.as(AuthService, { userAgent: "door/1" }).signUp(ada);
  await auth.as(AuthService).signUp({ ...ada, email: "eve@example.org" });
  await auth.deliver(FaceVectorCreatedSchema, {
    enrolmentId: "e1",
    memberId: userId,
    branchIds: ["b1"],
    modelId: "arc-1",
    consent: { textVersion: "2026-01", time: timestampFromMs(1000) },
    aggregateVersion: 1n,
    time: timestampFromMs(2000),
  });
  await auth.database.sql`
    INSERT INTO audit_log (create_time, action, outcome, principal, subject, address, user_agent, detail)
    VALUES (now(), 'ASSIGN_ROLE', 'DONE', 'person:other', ${`person:${userId}`}, '198.51.100.7', 'theirs', '')`;
  await auth.database.sql`UPDATE accounts SET email_verify_time = to_timestamp(3) WHERE user_id = ${userId}`;
  await auth.database.sql`INSERT INTO totp_factors VALUES (${userId}, 'a secret', now(), now(), 0)`;
  await auth.database.sql`INSERT INTO scope_grants VALUES (${userId}, 'counts.read', now())`;
  const { account } = await auth.as(AccountService, { caller: service }).exportAccountData({ userId });
  expect(account).toMatchObject({
    email: ada.email,
    displayName: "Ada",
    sessions: [{ userAgent: "door/1", address: "192.0.2.1" }],
    acts: [
      { action: "ASSIGN_ROLE", subject: `person:${userId}`, address: "", userAgent: "" },
      { action: "SIGN_UP", outcome: "DONE", address: "192.0.2.1", userAgent: "door/1" },
    ],
    enrolments: [{ enrolmentId: "e1", branchIds: ["b1"], modelId: "arc-1" }],
    emailVerifyTime: timestampFromMs(3000),
    totpEnabled: true,
    grantedScopes: ["counts.read"],
  });
  const [row] = await auth.database.sql<{ password_hash: string }[]>`
    SELECT password_hash FROM accounts WHERE user_id = ${userId}`;
  const copy = JSON.stringify(account, (_, value: unknown) => (typeof value === "bigint" ? `${value}` : value));
  for (const secret of [row?.password_hash ?? "", "eve@", "198.51.100.7"]) expect(copy).not.toContain(secret);
  for (const nobody of [crypto.randomUUID(), "x"]) {
    const empty = await auth.as(AccountService, { caller: service }).exportAccountData({ userId: nobody });
    expect(empty.account).toBeUndefined();
  }
});

test("another service has every account announced again, page by page", async () => {
  await using auth = await startAuth();
  const { userId } = await auth.as(AuthService).signUp(ada);
  await auth.database.sql`
    INSERT INTO accounts SELECT gen_random_uuid(), n || '@example.org', '', '', 1, now(), now() FROM generate_series(1, 450) n`;
  const accounts = auth.as(AccountService, { caller: service });
  let republished = 0;
  let pages = 0;
  for (let pageToken = ""; ; pages++) {
    const page = await accounts.republishAccounts({ pageToken });
    republished += page.republished;
    pageToken = page.nextPageToken;
    if (pageToken === "") break;
  }
  expect([pages, republished]).toEqual([3, 1]); // The others have no key.
  const created = (await auth.events()).filter((event) => isMessage(event, UserCreatedSchema));
  expect(created.map(({ userId, aggregateVersion }) => `${userId} ${aggregateVersion}`)).toEqual([
    `${userId} 1`,
    `${userId} 1`,
  ]);
  expect(await outcomeOf(accounts.republishAccounts({ pageToken: "x" }))).toStartWith("InvalidArgument");
});
