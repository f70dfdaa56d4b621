import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { expect, test } from "bun:test";
import { FaceVectorCreatedSchema } from "../../../gen/muin/face/v1/enrolment_events_pb.ts";
import { partsOf } from "../../../platform/service/parts.ts";
import { startAuth } from "../auth-fixture.ts";

const ada = { email: "ada@example.org", password: "correct horse battery", displayName: "Ada" };

test("another service copies all that is kept of a person, but for secrets and for what is others'", async () => {
  await using auth = await startAuth();
  const { userId } = await auth.signUp(ada, { userAgent: "door/1" });
  await auth.signUp({ ...ada, email: "eve@example.org" });
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
  await auth.database.sql`
    INSERT INTO api_keys (api_key_id, owner_id, display_name, scopes, secret_hash, version, create_time)
    VALUES (gen_random_uuid(), ${userId}, 'Her key', ARRAY['counts.read'], ${Buffer.alloc(32, 7)}, 1, now())`;
  await auth.database.sql`
    INSERT INTO entry_passes (entry_pass_id, user_id, branch_id, version, issue_time, expire_time)
    VALUES (gen_random_uuid(), ${userId}, 'b1', 1, to_timestamp(4), to_timestamp(5))`;
  const held = partsOf(auth.parts, "personalData")[0]!;
  const { signal } = new AbortController();
  const account = await held.exportOf(userId, signal);
  expect(account).toMatchObject({
    email: ada.email,
    displayName: "Ada",
    sessions: [{ userAgent: "door/1", address: "192.0.2.1" }],
    acts: [
      { action: "ASSIGN_ROLE", subject: `person:${userId}`, address: "", userAgent: "" },
      { action: "SIGN_UP", outcome: "DONE", address: "192.0.2.1", userAgent: "door/1" },
    ],
    enrolments: [{ enrolmentId: "e1", branchIds: ["b1"], modelId: "arc-1" }],
    emailVerifyTime: "1970-01-01T00:00:03Z",
    totpEnabled: true,
    grantedScopes: ["counts.read"],
    entryPasses: [{ branchId: "b1", issueTime: "1970-01-01T00:00:04Z", expireTime: "1970-01-01T00:00:05Z" }],
    apiKeys: [{ displayName: "Her key", scopes: ["counts.read"] }],
  });
  const [row] = await auth.database.sql<{ password_hash: string }[]>`
    SELECT password_hash FROM accounts WHERE user_id = ${userId}`;
  const copy = JSON.stringify(account);
  for (const secret of [row?.password_hash ?? "", "eve@", "198.51.100.7", Buffer.alloc(32, 7).toString("base64")])
    expect(copy).not.toContain(secret);
  for (const nobody of [crypto.randomUUID(), "x"]) {
    expect(await held.exportOf(nobody, signal)).toBeUndefined();
  }
});

test("what was erased is not exported any more, and is erased once", async () => {
  await using auth = await startAuth();
  const { userId } = await auth.signUp(ada);
  const held = partsOf(auth.parts, "personalData")[0]!;
  for (const id of [userId, userId, crypto.randomUUID()]) {
    await auth.database.transaction((tx) => held.erase(tx, id));
    expect(await held.exportOf(id, new AbortController().signal)).toBeUndefined();
  }
});
