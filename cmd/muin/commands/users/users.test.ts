import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { AuditService } from "../../../../internal/gen/muin/identity/v1/audit_service_pb.ts";
import { eventually } from "../../../../internal/platform/testing/eventually.ts";
import { startMuin, type TestMuin } from "../../../../internal/platform/testing/muin.ts";

// Commands start real processes, and machines are busy; a hang still ends.
setDefaultTimeout(60_000);

let muin: TestMuin;
let ada: string;
let tokenOfAda: string;
beforeAll(async () => {
  muin = await startMuin();
  const account = { password: "correct horse battery" };
  const signedUp = await muin.signUp({ ...account, email: "ada@example.org", displayName: "Ada" });
  ada = signedUp.userId;
  tokenOfAda = signedUp.tokens.accessToken;
  await muin.signUp({ ...account, email: "bob@example.org", displayName: "Bob" });
  // With the administrator whom every Muin begins with.
  await eventually(async () => expect((await users("list")).length).toBe(3));
});
afterAll(() => muin[Symbol.asyncDispose]());

/** What a command that must succeed printed with --json, by line. */
const users = (...args: readonly string[]) => muin.rows("users", ...args);

const asAda = (...args: readonly string[]) =>
  muin.begin(["users", ...args], { env: { MUIN_API_KEY: tokenOfAda } }).ended;

describe("muin users", () => {
  test("shows a person by id and by address, for people and for programs", async () => {
    const [byId] = await users("get", ada);
    expect(byId).toMatchObject({ user_id: ada, email: "ada@example.org", status: "USER_STATUS_ACTIVE", etag: "v1.1" });
    expect(await users("get", "Ada@example.org")).toEqual([byId ?? {}]);
    const { stdout } = await muin.run("users", "get", ada);
    expect(stdout).toMatch(/^name {8}Ada\nstatus {6}active\nroles {7}member$/m);
  });

  test("changes a profile, only what was said", async () => {
    await users("update", ada, "--name", "Ada Lovelace", "--time-zone", "europe/london", "--phone", "+441234567890");
    const [after] = await users("update", ada, "--phone", "");
    expect(after).toMatchObject({ display_name: "Ada Lovelace", time_zone: "Europe/London", phone_number: "" });
    expect(await muin.run("users", "update", ada)).toMatchObject({ code: 2 });
    expect(await muin.run("users", "update", ada, "--name", "X", "--etag", "v1.1")).toMatchObject({
      code: 6,
      stderr: `muin: user ${ada} has changed since this etag; read it again\n`,
    });
    expect(await muin.run("users", "update", ada, "--locale", "english")).toMatchObject({
      code: 2,
      stderr: 'muin: user.locale: must be a BCP 47 language tag such as "ko-KR"\n',
    });
  });

  test("gives and takes roles and memberships, and lists by them", async () => {
    await users("role", "assign", "bob@example.org", "helper", "--branch", "gangnam");
    await users("role", "assign", ada, "administrator");
    const [member] = await users(
      "membership",
      "set",
      ada,
      "gold",
      "--from",
      "2026-01-01",
      "--until",
      "2027-01-01T00:00:00+09:00",
    );
    expect(member?.["membership"]).toEqual({
      plan: "gold",
      from_time: "2026-01-01T00:00:00Z",
      until_time: "2026-12-31T15:00:00Z",
      paused: false,
    });
    const paused = await muin.run("users", "membership", "pause", ada);
    expect(paused.stdout).toMatch(/^membership {2}gold from 2026-01-01 00:00Z until 2026-12-31 15:00Z \(paused\)$/m);
    await users("membership", "resume", ada);
    const emails = async (...filters: string[]): Promise<unknown> =>
      (await users("list", ...filters)).map(({ email }) => email);
    expect(await emails("--role", "helper", "--branch", "gangnam")).toEqual(["bob@example.org"]);
    expect(await emails("--plan", "gold")).toEqual(["ada@example.org"]);
    expect(await emails("--limit", "1")).toEqual(["admin@localhost"]);
    expect(await emails("--role", "administrator")).toEqual(["admin@localhost", "ada@example.org"]);
    expect(await emails("--status", "suspended")).toEqual([]);
    const { stdout } = await muin.run("users", "list");
    expect(stdout).toContain("administrator, member");
    expect(stdout).toContain("helper of gangnam, member");
    await users("membership", "end", ada);
    const [plain] = await users("role", "unassign", "bob@example.org", "helper", "--branch", "gangnam");
    expect(plain?.["role_assignments"]).toEqual([{ role: "ROLE_MEMBER", branch_id: "" }]);
    await users("role", "unassign", ada, "administrator");
    expect(await muin.run("users", "role", "unassign", "admin@localhost", "administrator")).toMatchObject({
      code: 6,
      stderr: "muin: this is the last active administrator; make somebody else one first\n",
    });
    expect(await muin.run("users", "role", "assign", ada, "king")).toMatchObject({ code: 2 });
    expect(await muin.run("users", "membership", "set", ada, "gold", "--until", "tomorrow")).toMatchObject({ code: 2 });
  });

  test("suspends, reactivates, copies and deletes", async () => {
    const [suspended] = await users("suspend", "bob@example.org", "--reason", "lost card");
    expect(suspended).toMatchObject({ status: "USER_STATUS_SUSPENDED", suspend_reason: "lost card" });
    await users("reactivate", "bob@example.org");
    // auth learns from user who had it done.
    await eventually(async () => {
      const { auditEvents } = await muin.client(AuditService).listAuditEvents({ action: "SUSPEND_PERSON" });
      expect(auditEvents.map(({ principal }) => principal)).toEqual([expect.stringMatching(/^api_key:/)]);
    });
    expect((await users("export", "bob@example.org"))[0]).toMatchObject({
      user: { display_name: "Bob" },
      data_by_service: {
        auth: {
          email: "bob@example.org",
          acts: [
            { action: "ADMIT_PERSON" },
            { action: "SUSPEND_PERSON" },
            // The person's key went to the services that keep their name: user and branch-owner.
            { action: "HAND_OUT_PERSON_KEY" },
            { action: "HAND_OUT_PERSON_KEY" },
            { action: "SIGN_UP" },
          ],
        },
        "branch-owner": { displayName: "Bob" },
      },
    });
    expect(await muin.run("users", "delete", "bob@example.org")).toMatchObject({ code: 2 });
    const [erasure] = await users("delete", "bob@example.org", "--yes");
    const erasureId = String(erasure?.["erasure_id"]);
    await eventually(async () => {
      const { stdout } = await muin.run("users", "erasure", erasureId);
      expect(stdout).toBe(
        `erasure ${erasureId}: done: nothing is left that could be read\n  access          has erased\n  auth            has erased\n  branch-owner    has erased\n  mlops           has erased\n`,
      );
    });
    expect(await muin.run("users", "get", "bob@example.org")).toMatchObject({
      code: 4,
      stderr: "muin: nobody has the e-mail address bob@example.org\n",
    });
  });

  test("invites, lists who is invited, and withdraws", async () => {
    const [invited] = await users("invite", "carol@example.org");
    const id = String(invited?.["invitation_id"]);
    expect(await users("invitations", "list")).toEqual([
      { ...invited, email: "carol@example.org", inviter: expect.stringMatching(/^api_key:/) },
    ]);
    expect((await muin.run("users", "invitations", "withdraw", id)).stdout).toBe(`withdrew ${id}\n`);
    expect(await users("invitations", "withdraw", id)).toEqual([{ withdrawn: false }]);
    expect((await muin.run("users", "invitations", "withdraw", id)).stdout).toBe(`${id} is no open invitation\n`);
    expect(await users("invitations", "list")).toEqual([]);
  });

  test("removes a lost second factor, and says when there is none", async () => {
    expect(await muin.run("users", "reset-totp", "ada@example.org")).toMatchObject({
      code: 6,
      stderr: "muin: the account has no second factor; one begins with BeginTotp\n",
    });
  });

  test("lets a person do for themself with their own token what they may", async () => {
    const own = await asAda("get", "me", "--json");
    expect(JSON.parse(own.stdout)).toMatchObject({ user_id: ada });
    expect(await asAda("list")).toMatchObject({ code: 5 });
    expect(await asAda("get", crypto.randomUUID())).toMatchObject({ code: 5 });
  });

  test("suspends nobody who was granted more than the caller holds", async () => {
    const dora = { email: "dora@example.org", password: "correct horse battery" };
    const { userId } = await muin.signUp(dora);
    await eventually(async () => expect(await users("get", userId)).toMatchObject([{ email: dora.email }]));
    const [key] = await muin.rows("keys", "create", "desk", "--scope", "users.manage", "--scope", "users.read");
    const env = { MUIN_API_KEY: String(key?.["secret"]) };
    const suspend = () => muin.begin(["users", "suspend", userId, "--reason", "x"], { env }).ended;
    await users("scopes", "grant", userId, "counts.read");
    expect(await suspend()).toMatchObject({ code: 5, stderr: expect.stringContaining("counts.read") });
    await users("scopes", "revoke", userId, "counts.read");
    expect(await suspend()).toMatchObject({ code: 0 });
  });
});

const list = (...args: readonly string[]) => muin.run("audit", "list", ...args);

describe("muin audit", () => {
  test("lists acts, newest first, for people and for programs", async () => {
    const { code, stdout } = await list();
    expect(code).toBe(0);
    expect(stdout).toMatch(/^TIME +ACTION +OUTCOME +BY +TO +FROM +DETAIL$/m);
    expect(stdout).toMatch(new RegExp(`^\\d{4}-[\\dT:.-]+Z +SIGN_UP +done +person:${ada} `, "m"));
    const acts = (await list("--json")).stdout.trimEnd().split("\n");
    const ids = acts.map((line) => (JSON.parse(line) as { audit_event_id: number }).audit_event_id);
    expect(ids).toEqual(ids.toSorted((a, b) => b - a));
  });

  test("by principal, action, outcome and time, up to a limit", async () => {
    const signedUp = ["--action", "sign_up", "--principal", `person:${ada}`, "--outcome", "done"];
    const { stdout } = await list(...signedUp, "--from", "2026-01-01", "--json");
    expect(JSON.parse(stdout)).toMatchObject({ action: "SIGN_UP", outcome: "AUDIT_OUTCOME_DONE" });
    expect(await list(...signedUp, "--until", "2026-01-01")).toMatchObject({
      code: 0,
      stdout: "",
      stderr: "there are no such acts\n",
    });
    const some = await list("--limit", "2", "--json");
    expect(some.stdout.trimEnd().split("\n")).toHaveLength(2);
    expect(some.stderr).toBe("there are more than these 2\n");
    expect(await list("--outcome", "perhaps")).toMatchObject({ code: 2 });
    expect(await list("--action", "sign up")).toMatchObject({ code: 2 });
  });

  test("shows a person without the scope their own acts", async () => {
    const own = await muin.begin(["audit", "list", "--json"], { env: { MUIN_API_KEY: tokenOfAda } }).ended;
    const acts = own.stdout
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line) as { principal: string });
    expect(new Set(acts.map(({ principal }) => principal))).toEqual(new Set([`person:${ada}`]));
  });
});
