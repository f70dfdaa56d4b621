import { describe, expect, test } from "bun:test";
import { AccountService } from "../../../gen/muin/identity/v1/account_service_pb.ts";
import { AuthService } from "../../../gen/muin/identity/v1/auth_service_pb.ts";
import type { Caller } from "../../../platform/identity/caller.ts";
import type { ServiceInfo } from "../../../platform/service/define-service.ts";
import { mutantOf, outcomeOf, startAuth, type AuthFixture } from "../auth-fixture.ts";
import { auth as real } from "../definition.ts";

const operator: Caller = { kind: "api_key", id: "k1", principal: "api_key:k1", scopes: new Set(["users.manage"]) };
const password = "correct horse battery";
const dayMs = 86_400_000;

const accountsOf = (auth: AuthFixture) => auth.as(AccountService, { caller: operator });
const invite = async (auth: AuthFixture, name: string): Promise<string> =>
  (await accountsOf(auth).inviteUser({ email: `${name}@example.org` })).invitation?.invitationId ?? "";
const withdraw = async (auth: AuthFixture, invitationId: string): Promise<boolean> =>
  (await accountsOf(auth).withdrawInvitation({ invitationId })).withdrawn;
const openOf = async (auth: AuthFixture): Promise<readonly string[]> =>
  (await accountsOf(auth).listInvitations({})).invitations.map(({ email }) => email);
const accept = (auth: AuthFixture, token: string): Promise<string> =>
  outcomeOf(auth.as(AuthService).acceptInvitation({ token, password }));

/** What comes of an invitation that is withdrawn, once before and once after its mail went out, and of another of the same address. */
async function withdrawn(definition: ServiceInfo): Promise<unknown> {
  await using auth = await startAuth({ definition, config: { signUp: "invite" } });
  const unsent = await invite(auth, "unsent");
  const before = await withdraw(auth, unsent);
  const [sent] = [await invite(auth, "ada"), await invite(auth, "ada")];
  const [first, second] = (await auth.mails()).map(({ token }) => token);
  const after = await withdraw(auth, sent);
  return {
    withdrawn: [before, after, await withdraw(auth, sent)],
    mails: (await auth.mails()).map(({ to }) => to),
    accepted: [await accept(auth, first ?? ""), await accept(auth, second ?? "")],
    acts: await auth.database.sql<{ act: string }[]>`
      SELECT outcome || ' ' || principal || ' ' || (subject LIKE 'email:%') AS act FROM audit_log
      WHERE action = 'WITHDRAW_INVITATION' ORDER BY audit_id`.then((rows) => rows.map(({ act }) => act)),
  };
}

const right = {
  withdrawn: [true, true, false],
  mails: ["ada@example.org", "ada@example.org"],
  accepted: ["Unauthenticated MAIL_TOKEN_INVALID", "done"],
  acts: ["DONE api_key:k1 true", "DONE api_key:k1 true"],
};

describe("an invitation", () => {
  test("that is withdrawn begins no account, sends no mail, and another of the same address is none the worse", async () => {
    expect(await withdrawn(real)).toEqual(right);
  });

  test.each([
    ["that is only said to be withdrawn", "await newcomers.remove(tx, invitationId);", ""],
    ["that is withdrawn unrecorded", "await audit.append(", "await Promise.resolve("],
  ])("mutant: one %s is noticed", async (_, from, to) => {
    expect(await withdrawn(await mutantOf("newcomer/invitations.ts", from, to))).not.toEqual(right);
  });

  test("is withdrawn while it is open alone: not once it was accepted or has ended, and who signed up is none", async () => {
    await using auth = await startAuth();
    const ada = await invite(auth, "ada");
    const [mail] = await auth.mails();
    expect(await accept(auth, mail?.token ?? "")).toBe("done");
    const bob = await invite(auth, "bob");
    auth.clock.advance(7 * dayMs);
    await auth.as(AuthService).signUp({ email: "eve@example.org", password });
    const [eve] = await auth.database.sql<{ newcomer_id: string }[]>`
      SELECT newcomer_id FROM newcomers WHERE email = 'eve@example.org'`;
    for (const invitationId of [ada, bob, eve?.newcomer_id ?? "", "0199c5f2-6f0c-7aa0-8d6e-0a4f3a6b1c55", "nobody"]) {
      expect(await withdraw(auth, invitationId)).toBe(false);
    }
    expect(await auth.database.sql`SELECT 1 FROM newcomers WHERE email = 'eve@example.org'`).toHaveLength(1);
  });

  test("is listed while it is open, newest first, by pages, with who made it", async () => {
    await using auth = await startAuth();
    await invite(auth, "gone");
    auth.clock.advance(7 * dayMs);
    for (const name of ["ada", "bob", "carol"]) await invite(auth, name);
    await auth.as(AuthService).signUp({ email: "eve@example.org", password });
    expect(await openOf(auth)).toEqual(["carol@example.org", "bob@example.org", "ada@example.org"]);
    const accounts = accountsOf(auth);
    const first = await accounts.listInvitations({ pageSize: 2 });
    expect(first.invitations).toMatchObject([
      { email: "carol@example.org", inviter: "api_key:k1" },
      { email: "bob@example.org", inviter: "api_key:k1" },
    ]);
    const second = await accounts.listInvitations({ pageSize: 2, pageToken: first.nextPageToken });
    expect([second.invitations.map(({ email }) => email), second.nextPageToken]).toEqual([["ada@example.org"], ""]);
    expect(await outcomeOf(accounts.listInvitations({ pageToken: "AAAA" }))).toBe("InvalidArgument PAGE_TOKEN_INVALID");
  });
});
