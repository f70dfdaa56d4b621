import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { BranchState } from "../../../../internal/gen/muin/identity/v1/branch_pb.ts";
import { BranchService } from "../../../../internal/gen/muin/identity/v1/branch_service_pb.ts";
import { OwnerService } from "../../../../internal/gen/muin/identity/v1/owner_service_pb.ts";
import { ErasureState, UserService } from "../../../../internal/gen/muin/identity/v1/user_service_pb.ts";
import { eventually } from "../../../../internal/platform/testing/eventually.ts";
import { startMuin, type TestMuin } from "../../../../internal/platform/testing/muin.ts";

// Commands start real processes, and machines are busy; a hang still ends.
setDefaultTimeout(60_000);

let muin: TestMuin;
beforeAll(async () => {
  // Compiled: the zone rules are within the binary.
  muin = await startMuin({ from: "binary" });
});
afterAll(() => muin[Symbol.asyncDispose]());

let people = 0;
/** Somebody signs up; resolves when branch-owner knows them as an owner. */
async function newOwner(displayName: string): Promise<{ readonly userId: string; readonly token: string }> {
  people += 1;
  const account = { email: `person${people}@example.com`, password: "a long enough secret", displayName };
  const { userId, tokens } = await muin.signUp(account);
  await eventually(() => muin.client(OwnerService).registerOwner({ owner: { userId, companyName: "Gym" } }));
  return { userId, token: tokens.accessToken };
}

/** What a command printed, which must succeed. */
async function say(...args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await muin.run("branches", ...args);
  if (code !== 0) throw new Error(`muin branches ${args.join(" ")} exited with ${code}: ${stderr}`);
  return stdout;
}
const json = async (...args: readonly string[]): Promise<Record<string, unknown>> =>
  JSON.parse(await say(...args, "--json")) as Record<string, unknown>;

test("who has signed up is made an owner and creates a branch, over Connect and REST", async () => {
  const { userId, token } = await newOwner("Kim");
  expect((await muin.client(OwnerService).getOwner({ userId })).owner).toMatchObject({ displayName: "Kim" });
  const branches = muin.client(BranchService, token);
  const { branch } = await branches.createBranch({ branch: { displayName: "Gangnam", timeZone: "Asia/Seoul" } });
  expect(branch).toMatchObject({ ownerId: userId, displayName: "Gangnam", etag: "v1" });
  const branchId = branch?.branchId ?? "";
  expect((await branches.getBranch({ branchId })).branch).toEqual(branch);

  const rest = async (method: string, path: string, body?: object): Promise<Record<string, unknown>> => {
    const response = await fetch(`${muin.http}/api/v1/${path}`, {
      method,
      headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    return (await response.json()) as Record<string, unknown>;
  };
  const created = await rest("POST", "branches?request_id=creation-1", {
    displayName: "Mitte",
    timeZone: "Europe/Berlin",
  });
  const { branchId: other } = created["branch"] as { branchId: string };
  expect(await rest("PATCH", `branches/${other}?update_mask=facilities`, { facilities: ["sauna"] })).toMatchObject({
    branch: { displayName: "Mitte", facilities: ["sauna"], etag: "v2" },
  });
  expect(await rest("POST", `branches/${other}:close`, {})).toMatchObject({ branch: { state: "BRANCH_STATE_CLOSED" } });
  expect(await rest("GET", `branches/${other}:openState`)).toMatchObject({ open: false });
  expect(await rest("GET", `branches/${branchId}:openState`)).toMatchObject({ open: true });
  expect(await rest("GET", "branches?state=BRANCH_STATE_ACTIVE")).toMatchObject({ branches: [{ branchId }] });
  const periods = await rest(
    "GET",
    `branches/${branchId}/open-periods?from_time=2026-01-01T00:00:00Z&to_time=2026-01-02T00:00:00Z`,
  );
  expect(periods).toEqual({
    periods: [
      {
        fromTime: "2026-01-01T00:00:00Z",
        toTime: "2026-01-02T00:00:00Z",
        fromUtcOffset: "32400s",
        toUtcOffset: "32400s",
      },
    ],
    timeZone: "Asia/Seoul",
  });
});

test("an owner who deletes themself leaves a closed branch, and branch-owner's confirmation", async () => {
  const { userId, token } = await newOwner("Choi");
  const branch = { displayName: "Left behind", timeZone: "UTC" };
  const { branch: left } = await muin.client(BranchService, token).createBranch({ branch });
  const { erasure } = await muin.client(UserService, token).deleteUser({ userId: "me" });
  const erasureId = erasure?.erasureId ?? "";
  await eventually(
    async () => {
      const now = await muin.client(UserService).getErasure({ erasureId });
      expect(now.erasure?.state).toBe(ErasureState.DONE);
      const confirmed = now.erasure?.confirmations.filter(({ confirmTime }) => confirmTime !== undefined);
      expect(confirmed?.map(({ service }) => service)).toContain("branch-owner");
    },
    { timeoutMs: 20_000 },
  );
  const { branch: now } = await muin.client(BranchService).getBranch({ branchId: left?.branchId ?? "" });
  expect(now).toMatchObject({ ownerId: userId, state: BranchState.CLOSED });
  const owner = muin.client(OwnerService).getOwner({ userId });
  expect(owner).rejects.toThrow("is no owner");
});

describe("muin branches", () => {
  let owner: string;
  let heir: string;
  let branchId: string;
  beforeAll(async () => {
    [{ userId: owner }, { userId: heir }] = await Promise.all([newOwner("Lee"), newOwner("Park")]);
    const place = [
      "--country",
      "KR",
      "--locality",
      "Gangnam-gu",
      "--line",
      "1 Teheran-ro",
      "--position",
      "37.4979,127.0276",
    ];
    const created = await json(
      "create",
      "Gangnam",
      "--owner",
      owner,
      "--time-zone",
      "Asia/Seoul",
      ...place,
      "--plan",
      "gold",
    );
    branchId = String(created["branch_id"]);
  });

  test("create, get and list", async () => {
    expect(await say("get", branchId)).toBe(
      [
        `branch      ${branchId}`,
        "name        Gangnam",
        "state       active",
        `owner       ${owner}`,
        "address     1 Teheran-ro, Gangnam-gu, KR",
        "position    37.4979, 127.0276",
        "time zone   Asia/Seoul",
        "hours       always",
        "plans       gold",
        "etag        v1",
        "",
      ].join("\n"),
    );
    expect(await json("get", branchId)).toMatchObject({
      branch_id: branchId,
      address: { country_code: "KR", locality: "Gangnam-gu" },
      entry_rules: { plans: [{ plan: "gold" }] },
      state: "BRANCH_STATE_ACTIVE",
    });
    const found = ["--owner", owner, "--state", "active", "--country", "KR", "--locality", "Gangnam-gu"];
    expect(await say("list", ...found)).toMatch(
      new RegExp(`^${branchId} +Gangnam +active +KR Gangnam-gu +Asia/Seoul`, "m"),
    );
    expect(await say("list", ...found, "--facility", "sauna")).toBe("");
    expect(JSON.parse(await say("list", ...found, "--json"))).toMatchObject({ branch_id: branchId });
  });

  test("update changes what is given, and keeps what stands beside it", async () => {
    await say("update", branchId, "--name", "Yeoksam", "--region", "Seoul", "--capacity", "40", "--facility", "shower");
    expect(await json("get", branchId)).toMatchObject({
      display_name: "Yeoksam",
      address: { country_code: "KR", region: "Seoul", locality: "Gangnam-gu", lines: ["1 Teheran-ro"] },
      entry_rules: { plans: [{ plan: "gold" }], capacity_max: 40 },
      facilities: ["shower"],
    });
    const file = join(muin.folder.path, "branch.json");
    await Bun.write(
      file,
      JSON.stringify({ equipment: [{ equipment_id: "treadmill", quantity: 8 }], position: { latitude: 1 } }),
    );
    await say("update", branchId, "--from", file);
    expect(await json("get", branchId)).toMatchObject({
      equipment: [{ quantity: 8 }],
      position: { latitude: 1, longitude: 0 },
    });
    // What one printed, another can be made of.
    await Bun.write(file, await say("get", branchId, "--json"));
    const copy = await json("create", "Copy", "--owner", owner, "--from", file);
    expect(copy).toMatchObject({
      display_name: "Copy",
      facilities: ["shower"],
      equipment: [{ quantity: 8 }],
      etag: "v1",
    });
    expect(copy["branch_id"]).not.toBe(branchId);
    expect(await json("close", String(copy["branch_id"]))).toMatchObject({ state: "BRANCH_STATE_CLOSED" });

    const refused: readonly (readonly [code: number, stderr: string | RegExp, ...args: string[]])[] = [
      [2, "muin: nothing to change was given; see --help\n", "update", branchId],
      [2, /time_zone: is written "Asia\/Seoul"/, "update", branchId, "--time-zone", "asia/seoul"],
      [2, /is not a branch: .*"colour"/, "update", branchId, "--from", join(muin.folder.path, "colour.json")],
      [6, /has changed since this etag/, "update", branchId, "--name", "x", "--etag", "v1"],
      [4, /there is no branch absent/, "get", "absent"],
      [2, /Write degrees/, "update", branchId, "--position", "here"],
      [2, /Write degrees/, "update", branchId, "--position", "0x25,1e2"],
    ];
    await Bun.write(join(muin.folder.path, "colour.json"), '{"colour": "red"}');
    for (const [code, stderr, ...args] of refused) {
      const ended = await muin.run("branches", ...args);
      expect({ args, code: ended.code }).toEqual({ args, code });
      if (typeof stderr === "string") expect(ended.stderr).toBe(stderr);
      else expect(ended.stderr).toMatch(stderr);
    }
  });

  test("hours are said in words, shown, taken back as JSON; open tells the next periods", async () => {
    const words = ["--weekly", "mon-thu 22:00-06:00", "--weekly", "sat 24h", "--yearly", "2026-12-25 closed Christmas"];
    const shown = [
      "mon-thu 22:00-06:00",
      "fri closed",
      "sat 24h",
      "sun closed",
      "2026-12-25 closed Christmas (every year)",
      "",
    ].join("\n");
    expect(await say("hours", branchId, ...words)).toBe(shown);
    expect(await say("hours", branchId)).toBe(shown);
    const hours = await json("hours", branchId);
    expect(hours).toEqual({
      time_zone: "Asia/Seoul",
      weekly: ["mon-thu 22:00-06:00", "fri closed", "sat 24h", "sun closed"],
      exceptions: [],
      yearly: ["2026-12-25 closed Christmas"],
    });
    // Thursday night begins, Friday is Christmas, Saturday is open all day.
    expect(await say("open", branchId, "--at", "2026-12-24T23:00+09:00", "--days", "3")).toBe(
      [
        "open until Fri 2026-12-25 06:00 +09:00 (Asia/Seoul)",
        "OPEN FROM                    TO",
        "Thu 2026-12-24 23:00 +09:00  Fri 2026-12-25 06:00 +09:00",
        "Sat 2026-12-26 00:00 +09:00  Sun 2026-12-27 00:00 +09:00",
        "",
      ].join("\n"),
    );
    expect(await json("open", branchId, "--at", "2026-12-27T12:00+09:00", "--days", "1")).toEqual({
      open: false,
      time: "2026-12-27T03:00:00Z",
      since_time: "2026-12-26T15:00:00Z",
      until_time: "2026-12-28T13:00:00Z",
      time_utc_offset: "32400s",
      since_utc_offset: "32400s",
      until_utc_offset: "32400s",
      time_zone: "Asia/Seoul",
      periods: [],
    });
    expect(await say("try", branchId, "--plan", "gold", "--at", "2026-12-25T23:00+09:00")).toBe(
      "outside opening hours\n",
    );
    expect(await json("try", branchId, "--plan", "gold", "--at", "2026-12-26T12:00+09:00")).toMatchObject({
      verdict: "ADMITTED",
    });

    expect(await say("hours", branchId, "--always")).toBe("always\n");
    const file = join(muin.folder.path, "hours.json");
    await Bun.write(file, JSON.stringify(hours));
    expect(await json("hours", branchId, "--from", file)).toEqual(hours);
    const wrong = await muin.run("branches", "hours", branchId, "--weekly", "someday");
    expect(wrong).toMatchObject({ code: 2, stdout: "" });
    expect(wrong.stderr).toContain('"someday" is not weekly hours; write them like "mon-fri 06:00-24:00"');
    const overlapping = await muin.run(
      "branches",
      "hours",
      branchId,
      "--weekly",
      "mon 24h",
      "--weekly",
      "sun 22:00-06:00",
    );
    expect(overlapping).toMatchObject({ code: 2, stdout: "" });
    expect(overlapping.stderr).toContain("branch.opening_hours.weekly[0]: overlaps branch.opening_hours.weekly[1]");
  });

  test("staff come and go, a branch is closed, reopened and given to another owner", async () => {
    await say("staff", "add", branchId, heir, "--role", "manager");
    expect(await say("staff", "list", branchId)).toMatch(new RegExp(`^${heir} +Park +manager$`, "m"));
    expect(JSON.parse(await say("staff", "list", branchId, "--json"))).toMatchObject({
      staff_member: { user_id: heir, role: "STAFF_ROLE_MANAGER" },
      display_name: "Park",
    });
    expect(await say("staff", "remove", branchId, heir)).toBe(`${heir} does not work for ${branchId} any more\n`);
    expect((await muin.run("branches", "staff", "remove", branchId, heir)).code).toBe(4);
    expect(await say("close", branchId)).toBe(`closed ${branchId}\n`);
    expect(await say("open", branchId)).toContain("closed (Asia/Seoul)");
    expect(await say("reopen", branchId)).toBe(`reopened ${branchId}\n`);
    expect(await say("transfer", branchId, heir)).toBe(`transferred ${branchId}\n`);
    expect(await json("get", branchId)).toMatchObject({ owner_id: heir });
  });

  test("owners are registered, changed and listed", async () => {
    expect(await say("owners", "update", owner, "--company", "Muscle & Co.", "--phone", "+82212345678")).toBe(
      `updated ${owner}\n`,
    );
    expect(await json("owners", "get", owner)).toMatchObject({
      company_name: "Muscle & Co.",
      contact_phone_number: "+82212345678",
    });
    expect(await say("owners", "list")).toMatch(new RegExp(`^${owner} +Lee +Muscle & Co\\.`, "m"));
    expect((await muin.run("branches", "owners", "register", owner)).code).toBe(6);
    expect((await muin.run("branches", "owners", "register", "nobody")).code).toBe(4);
  });

  test("events republish announces every branch again, which changes nothing", async () => {
    const { branches } = await muin.client(BranchService).listBranches({ pageSize: 1000 });
    const { code, stdout } = await muin.run("events", "republish", "identity.branch", "--json");
    expect({ code, ...(JSON.parse(stdout) as object) }).toMatchObject({ code: 0, republished: branches.length });
    expect((await muin.client(BranchService).listBranches({ pageSize: 1000 })).branches).toEqual(branches);
  });

  test("each command says how it is used, with an example", async () => {
    const names = ["create", "get", "list", "update", "close", "reopen", "transfer", "hours", "open", "try"];
    const nested = [
      ["staff", "list"],
      ["staff", "add"],
      ["staff", "remove"],
      ["owners", "register"],
      ["owners", "list"],
    ];
    const helps = await Promise.all([...names.map((name) => [name]), ...nested].map((name) => say(...name, "--help")));
    for (const help of helps) expect(help).toMatch(/Examples?:\n {2}\$ muin branches /);
  });
});
