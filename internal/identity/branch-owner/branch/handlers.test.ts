import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromDate, type Timestamp } from "@bufbuild/protobuf/wkt";
import type { BranchCreated, BranchUpdated } from "../../../gen/muin/identity/v1/branch_events_pb.ts";
import { BranchSchema, BranchState, StaffRole } from "../../../gen/muin/identity/v1/branch_pb.ts";
import { EntryVerdict } from "../../../gen/muin/identity/v1/branch_service_pb.ts";
import { caught, importMutant } from "../../../platform/testing/mutant.ts";
import {
  administrator,
  outcomeOf,
  startBranchOwner,
  violationsOf,
  type BranchOwnerFixture,
  type Person,
} from "../branch-owner-fixture.ts";
import type * as definition from "../definition.ts";

setDefaultTimeout(30_000);

let service: BranchOwnerFixture;
beforeAll(async () => {
  service = await startBranchOwner({ config: { branchesPerOwnerMax: 12 } });
});
afterAll(() => service[Symbol.asyncDispose]());

type BranchEvent = BranchCreated | BranchUpdated;

/** Events of a branch, in the order in which they were recorded. */
async function eventsOf(branchId: string, of: BranchOwnerFixture = service): Promise<readonly BranchEvent[]> {
  const events = (await of.events()) as readonly BranchEvent[];
  return events.filter((event) => event.branchId === branchId);
}
const nameOf = (event: BranchEvent): string => `${event.$typeName.split(".").at(-1) ?? ""} ${event.aggregateVersion}`;

const time = (text: string): Timestamp => timestampFromDate(new Date(text));

/** All that can be said of a branch. */
const full = {
  displayName: "Gangnam",
  address: { countryCode: "KR", postalCode: "06236", region: "Seoul", locality: "Gangnam-gu", lines: ["1 Teheran-ro"] },
  position: { latitude: 37.4979, longitude: 127.0276 },
  timeZone: "Asia/Seoul",
  openingHours: {
    weekly: [{ day: 1, period: { openMinute: 1320, closeMinute: 1800 } }],
    exceptions: [{ date: "2026-12-25", displayName: "Christmas", yearly: true }],
  },
  facilities: ["parking", "shower"],
  equipment: [{ equipmentId: "treadmill", displayName: "Treadmill", quantity: 8 }],
  entryRules: { plans: [{ plan: "gold" }], capacityMax: 40, presentationAttackScoreRequired: true },
} satisfies MessageInitShape<typeof BranchSchema>;

describe("the life of a branch", () => {
  test("every change is an event that carries the whole of it, with the next version", async () => {
    const owner = await service.newOwner();
    const manager = await service.signUp("Lee");
    const heir = await service.newOwner();
    const branches = service.branches(owner);
    const created = await service.newBranch(owner, full);
    const { branchId } = created;
    expect(created).toMatchObject({ ...full, ownerId: owner.id, state: BranchState.ACTIVE, etag: "v1" });
    expect((await branches.getBranch({ branchId })).branch).toEqual(created);

    const member = { userId: manager.id, role: StaffRole.MANAGER };
    expect(await branches.addStaff({ branchId, staffMember: member })).toMatchObject({ etag: "v2" });
    expect((await branches.listStaff({ branchId })).staff).toMatchObject([{ staffMember: member, displayName: "Lee" }]);
    const { branch: renamed } = await service
      .branches(manager)
      .updateBranch({ branch: { branchId, displayName: "Yeoksam", etag: "v2" } });
    expect(renamed).toMatchObject({ ...full, displayName: "Yeoksam", etag: "v3" });
    expect((await branches.closeBranch({ branchId })).branch?.state).toBe(BranchState.CLOSED);
    expect((await branches.reopenBranch({ branchId })).branch?.state).toBe(BranchState.ACTIVE);
    const { branch: given } = await service.branches(administrator).transferBranch({ branchId, ownerId: heir.id });
    expect(given).toMatchObject({ ownerId: heir.id, etag: "v6" });
    expect(await outcomeOf(branches.getBranch({ branchId }))).toBe("PermissionDenied BRANCH_FORBIDDEN");
    await service.branches(heir).removeStaff({ branchId, userId: manager.id });

    const events = await eventsOf(branchId);
    expect(events.map(nameOf)).toEqual([
      "BranchCreated 1",
      ...[2, 3, 4, 5, 6, 7].map((version) => `BranchUpdated ${version}`),
    ]);
    expect(events.map(({ staff }) => staff.length)).toEqual([0, 1, 1, 1, 1, 1, 0]);
    expect(events[0]?.branch).toEqual(created);
    expect(events[1]?.staff).toMatchObject([member]);
    expect(events[2]?.branch).toEqual(renamed);
    expect(events[5]?.branch).toEqual(given);
  });

  test("what is Muin's to say is not taken from who creates it", async () => {
    const owner = await service.newOwner();
    const [branchId, createTime] = ["mine", time("2000-01-01T00:00:00Z")];
    const forged = { branchId, createTime, updateTime: createTime, state: BranchState.CLOSED, etag: "v99" };
    const created = await service.newBranch(owner, forged);
    expect(created).toMatchObject({ state: BranchState.ACTIVE, etag: "v1" });
    expect(created.branchId).not.toBe(branchId);
    expect(created.createTime).not.toEqual(createTime);
    expect((await eventsOf(created.branchId))[0]?.branch).toEqual(created);
  });

  test("what changes nothing is no event", async () => {
    const owner = await service.newOwner();
    const { branchId } = await service.newBranch(owner);
    const branches = service.branches(owner);
    const staffMember = { userId: (await service.signUp()).id, role: StaffRole.ATTENDANT };
    for (let round = 0; round < 2; round += 1) await branches.closeBranch({ branchId });
    for (let round = 0; round < 2; round += 1) await branches.reopenBranch({ branchId });
    for (let round = 0; round < 2; round += 1) await branches.addStaff({ branchId, staffMember });
    await service.branches(administrator).transferBranch({ branchId, ownerId: owner.id });
    expect((await eventsOf(branchId)).map(nameOf)).toEqual([
      "BranchCreated 1",
      "BranchUpdated 2",
      "BranchUpdated 3",
      "BranchUpdated 4",
    ]);
  });

  test("only what the etag has read is changed, of branch and staff alike", () => checkEtags(service));
});

/** Nothing is changed by who has read an older state. */
async function checkEtags(of: BranchOwnerFixture): Promise<void> {
  const owner = await of.newOwner();
  const { branchId, etag } = await of.newBranch(owner);
  const branches = of.branches(owner);
  const userId = (await of.signUp()).id;
  await branches.addStaff({ branchId, etag, staffMember: { userId, role: StaffRole.MANAGER } });
  const stale = [
    branches.updateBranch({ branch: { branchId, etag, displayName: "late" } }),
    branches.closeBranch({ branchId, etag }),
    branches.reopenBranch({ branchId, etag }),
    branches.removeStaff({ branchId, etag, userId }),
    branches.addStaff({ branchId, etag, staffMember: { userId, role: StaffRole.ATTENDANT } }),
    of.branches(administrator).transferBranch({ branchId, etag, ownerId: owner.id }),
  ];
  expect(await Promise.all(stale.map(outcomeOf))).toEqual(stale.map(() => "Aborted ETAG_MISMATCH"));
  expect((await eventsOf(branchId, of)).map(nameOf)).toEqual(["BranchCreated 1", "BranchUpdated 2"]);
}

describe("an update", () => {
  const updated = { displayName: "New", facilities: ["sauna"] };
  test.each<[string, string[] | undefined, MessageInitShape<typeof BranchSchema>, object]>([
    ["without a mask changes what is set", undefined, updated, { ...full, ...updated }],
    ["changes what the mask names", ["display_name"], updated, { ...full, displayName: "New" }],
    [
      "takes away what the mask names and is not set",
      ["facilities", "equipment"],
      {},
      { ...full, facilities: [], equipment: [] },
    ],
    ["with * is all of it", ["*"], { displayName: "Bare", timeZone: "UTC" }, { displayName: "Bare", facilities: [] }],
  ])("%s", async (_, paths, branch, expected) => {
    const owner = await service.newOwner();
    const { branchId } = await service.newBranch(owner, full);
    const reply = await service.branches(owner).updateBranch({
      branch: { branchId, ...branch },
      ...(paths === undefined ? {} : { updateMask: { paths } }),
    });
    expect(reply.branch).toMatchObject(expected);
    if (paths?.includes("*") === true) expect(reply.branch?.openingHours).toBeUndefined();
  });

  test("that changes nothing has no version and no event", async () => {
    const owner = await service.newOwner();
    const { branchId } = await service.newBranch(owner, full);
    const branches = service.branches(owner);
    const { branch: first } = await branches.getBranch({ branchId });
    const before = (await service.events()).length;
    for (const branch of [{ branchId }, { branchId, ...full }]) {
      expect((await branches.updateBranch({ branch })).branch).toEqual(first);
    }
    expect((await branches.getBranch({ branchId })).branch).toEqual(first);
    expect((await service.events()).length).toBe(before);
  });

  test.each(["owner_id", "state", "branch_id", "etag", "create_time", "address.locality", "constructor"])(
    "of %s is refused",
    async (path) => {
      const owner = await service.newOwner();
      const { branchId } = await service.newBranch(owner);
      const branch = { branchId, ownerId: owner.id, state: BranchState.ACTIVE };
      const call = service.branches(owner).updateBranch({ branch, updateMask: { paths: [path] } });
      const [violation] = await violationsOf(call);
      expect(violation).toContain(`update_mask: "${path}" cannot be updated; use display_name, address,`);
      expect(await eventsOf(branchId)).toHaveLength(1);
    },
  );

  test("names its branch", async () => {
    const call = service.branches(administrator).updateBranch({ branch: { displayName: "Which?" } });
    expect(await violationsOf(call)).toEqual(["branch.branch_id: must name the branch"]);
  });

  test("that would give the branch away or close it by the way is refused; the present values are no change", async () => {
    const owner = await service.newOwner();
    const thief = await service.newOwner();
    const present = await service.newBranch(owner);
    const { branchId } = present;
    const update = (branch: MessageInitShape<typeof BranchSchema>) =>
      service.branches(owner).updateBranch({ branch: { branchId, ...branch } });
    expect(await violationsOf(update({ ownerId: thief.id, state: BranchState.CLOSED }))).toEqual([
      "branch.owner_id: does not change by an update; use TransferBranch",
      "branch.state: does not change by an update; use CloseBranch or ReopenBranch",
    ]);
    const { branch } = await service.branches(owner).updateBranch({ branch: present });
    expect(branch).toMatchObject({ ownerId: owner.id, state: BranchState.ACTIVE, etag: "v1" });
  });
});

const branch = { displayName: "Once", timeZone: "UTC" };

/** The same creation, asked for many times at once, is one. */
async function checkRepetition(of: BranchOwnerFixture): Promise<void> {
  const branches = of.branches(await of.newOwner());
  // As many connections as calls, so that none of these waits for one while another is done.
  await Promise.all(Array.from({ length: 8 }, () => branches.listBranches({})));
  const calls = Array.from({ length: 8 }, () => branches.createBranch({ branch, requestId: "creation-1" }));
  const replies = await Promise.all(calls);
  expect(new Set(replies.map((reply) => reply.branch?.branchId)).size).toBe(1);
  for (const reply of replies) expect(reply).toEqual(replies[0] ?? reply);
  expect((await branches.listBranches({})).branches).toHaveLength(1);
  expect(await eventsOf(replies[0]?.branch?.branchId ?? "", of)).toHaveLength(1);
  const other = { ...branch, displayName: "Twice" };
  expect(await outcomeOf(branches.createBranch({ branch: other, requestId: "creation-1" }))).toBe(
    "InvalidArgument REQUEST_ID_REUSED",
  );
}

describe("a creation with a request_id", () => {
  test("happens once, however often and at once it is asked for", () => checkRepetition(service));

  test("is another one when another caller sends it", async () => {
    const owner = await service.newOwner();
    await service.branches(owner).createBranch({ branch, requestId: "creation-1" });
    const other = await service.newOwner();
    await service.branches(other).createBranch({ branch, requestId: "creation-1" });
    expect((await service.branches(other).listBranches({})).branches).toHaveLength(1);
  });

  test("is forgotten when its time is over", async () => {
    const owner = await service.newOwner();
    const branches = service.branches(owner);
    const { branch: first } = await branches.createBranch({ branch, requestId: "creation-3" });
    await service.database
      .sql`UPDATE request_memory SET expire_time = now() - interval '1 second' WHERE principal = ${owner.principal}`;
    const { branch: second } = await branches.createBranch({ branch, requestId: "creation-3" });
    expect(second?.branchId).not.toBe(first?.branchId ?? "");
  });
});

/** However many come at once, an owner gets no more branches than one may have. */
async function checkLimitOnce(of: BranchOwnerFixture): Promise<void> {
  const [owner, giver] = await Promise.all([of.newOwner(), of.newOwner()]);
  const create = (count: number): Promise<readonly string[]> =>
    Promise.all(Array.from({ length: count }, () => outcomeOf(of.newBranch(owner))));
  // All but one first: then of many at once only one may be made, so that none but the lock of the owner keeps them apart.
  const outcomes = [...(await create(11)), ...(await create(8))];
  expect(outcomes.filter((outcome) => outcome === "ok")).toHaveLength(12);
  expect(new Set(outcomes)).toEqual(new Set(["ok", "FailedPrecondition TOO_MANY_BRANCHES"]));
  const { branchId } = await of.newBranch(giver);
  const transfer = of.branches(administrator).transferBranch({ branchId, ownerId: owner.id });
  expect(await outcomeOf(transfer)).toBe("FailedPrecondition TOO_MANY_BRANCHES");
}

/** Several times, since which of several come at once is chance. */
async function checkLimit(of: BranchOwnerFixture): Promise<void> {
  for (let round = 0; round < 4; round += 1) await checkLimitOnce(of);
}

test("the limit of branches holds for creations and transfers", () => checkLimit(service));

/** Changes of a branch and its staff at the same time; then the events are as many as changes, and none is lost in the next. */
async function checkConcurrency(of: BranchOwnerFixture): Promise<void> {
  const owner = await of.newOwner();
  const { branchId } = await of.newBranch(owner);
  const branches = of.branches(owner);
  const people = await Promise.all(Array.from({ length: 6 }, () => of.signUp()));
  const outcomes = await Promise.all([
    ...people.map(({ id: userId }) =>
      outcomeOf(branches.addStaff({ branchId, staffMember: { userId, role: StaffRole.MANAGER } })),
    ),
    outcomeOf(branches.updateBranch({ branch: { branchId, displayName: "A" } })),
    outcomeOf(branches.updateBranch({ branch: { branchId, facilities: ["sauna"] } })),
    outcomeOf(branches.updateBranch({ branch: { branchId, timeZone: "UTC" } })),
  ]);
  expect(outcomes.filter((outcome) => outcome !== "ok")).toEqual([]);
  const events = await eventsOf(branchId, of);
  expect(events.map(({ aggregateVersion }) => aggregateVersion)).toEqual([1n, 2n, 3n, 4n, 5n, 6n, 7n, 8n, 9n, 10n]);
  const last = events.at(-1);
  expect(last?.branch).toMatchObject({ displayName: "A", facilities: ["sauna"], timeZone: "UTC", etag: "v10" });
  expect(last?.staff).toHaveLength(6);
}

describe("changes at the same time", () => {
  test("that have read the same state: one is made", async () => {
    const owner = await service.newOwner();
    const { branchId, etag } = await service.newBranch(owner);
    const names = ["a", "b", "c", "d", "e"];
    const outcomes = await Promise.all(
      names.map((displayName) =>
        outcomeOf(service.branches(owner).updateBranch({ branch: { branchId, etag, displayName } })),
      ),
    );
    expect(outcomes.toSorted()).toEqual([...names.slice(1).map(() => "Aborted ETAG_MISMATCH"), "ok"]);
    expect((await service.branches(owner).getBranch({ branchId })).branch).toMatchObject({
      displayName: names[outcomes.indexOf("ok")] ?? "",
      etag: "v2",
    });
  });

  test("share one version, and none overwrites another", () => checkConcurrency(service));
});

describe("a mutant is caught", () => {
  test.each<[string, string, string, string, (of: BranchOwnerFixture) => Promise<void>]>([
    ["without the lock of the row", "store-postgres.ts", "${branchId} FOR UPDATE`", "${branchId}`", checkConcurrency],
    ["without etags", "locked.ts", "isCurrent(etag, etagOf(branch.version))", "true", checkEtags],
    [
      "that lets creations pass the limit",
      "rules.ts",
      '        if ((await branches.countOfOwner(tx, ownerId)) >= branchesMax) return refuse("tooManyBranches", full);\n        const nowMs',
      "        const nowMs",
      checkLimit,
    ],
    [
      "that lets transfers pass the limit",
      "rules.ts",
      '        if ((await branches.countOfOwner(tx, ownerId)) >= branchesMax) return refuse("tooManyBranches", full);\n        await staff.remove',
      "        await staff.remove",
      checkLimit,
    ],
    [
      "without the lock of the owner",
      "../owner/store-postgres.ts",
      "SELECT FROM owners WHERE user_id = ${userId} FOR UPDATE",
      "SELECT",
      checkLimit,
    ],
    [
      "that lets repetitions run side by side",
      "../request/store-postgres.ts",
      "SELECT pg_advisory_xact_lock(",
      "SELECT (",
      checkRepetition,
    ],
    [
      "that takes any request of the id for the same",
      "../request/store-postgres.ts",
      "Buffer.from(known.fingerprint).equals(fingerprint) ?",
      "known.fingerprint.length > 0 ?",
      checkRepetition,
    ],
  ])("%s", async (_, name, from, to, check) => {
    const { branchOwner } = await importMutant<typeof definition>(join(import.meta.dir, name), from, to, [
      join(import.meta.dir, "../definition.ts"),
    ]);
    await using mutant = await startBranchOwner({ info: branchOwner, config: { branchesPerOwnerMax: 12 } });
    await caught(() => check(mutant));
  });
});

describe("a list", () => {
  let owner: Person;
  beforeAll(async () => {
    owner = await service.newOwner();
    for (let index = 0; index < 5; index += 1) {
      const address = { countryCode: index < 3 ? "KR" : "DE", locality: index % 2 === 0 ? "Mitte" : "Gangnam-gu" };
      const facilities = index === 0 ? ["shower"] : ["shower", "parking"];
      await service.newBranch(owner, { displayName: `${index}`, address, facilities });
    }
    const { branches } = await service.branches(owner).listBranches({});
    await service.branches(owner).closeBranch({ branchId: branches[4]?.branchId ?? "" });
  });

  test.each([
    ["all", {}, "01234"],
    ["in a country", { countryCode: "DE" }, "34"],
    ["in a city", { countryCode: "KR", locality: "Mitte" }, "02"],
    ["with a facility", { facility: "parking" }, "1234"],
    ["in a state", { state: BranchState.CLOSED }, "4"],
    ["in another state", { state: BranchState.ACTIVE, facility: "parking", countryCode: "DE" }, "3"],
    ["none", { locality: "Nowhere" }, ""],
  ])("of branches: %s", async (_, filter, expected) => {
    const { branches } = await service.branches(owner).listBranches(filter);
    expect(branches.map(({ displayName }) => displayName).join("")).toBe(expected);
    const all = await service.branches(administrator).listBranches({ ...filter, ownerId: owner.id });
    expect(all.branches).toEqual(branches);
  });

  test("comes in pages, whose tokens belong to their query", async () => {
    const branches = service.branches(owner);
    let seen = "";
    let pageToken = "";
    do {
      const page = await branches.listBranches({ pageSize: 2, pageToken });
      seen += `${page.branches.map(({ displayName }) => displayName).join("")} `;
      pageToken = page.nextPageToken;
    } while (pageToken !== "");
    expect(seen).toBe("01 23 4 ");
    const { nextPageToken } = await branches.listBranches({ pageSize: 2 });
    for (const token of [nextPageToken, `${nextPageToken}x`, "nonsense", "AAAA"]) {
      const call = branches.listBranches({ pageSize: 2, pageToken: token, countryCode: "KR" });
      expect(await outcomeOf(call)).toBe("InvalidArgument PAGE_TOKEN_INVALID");
    }
  });
});

describe("hours", () => {
  test("are told by state and periods, and by the rules of entry", async () => {
    const owner = await service.newOwner();
    const { branchId } = await service.newBranch(owner, full);
    const branches = service.branches(owner);
    // Monday 22:00 to Tuesday 06:00 in Seoul.
    const at = time("2026-11-23T20:00:00Z");
    const inSeoul = { seconds: 32_400n };
    expect(await branches.getOpenState({ branchId, time: at })).toMatchObject({
      open: true,
      time: at,
      sinceTime: time("2026-11-23T13:00:00Z"),
      untilTime: time("2026-11-23T21:00:00Z"),
      timeUtcOffset: inSeoul,
      sinceUtcOffset: inSeoul,
      untilUtcOffset: inSeoul,
    });
    const stretch = { fromTime: time("2026-11-23T20:00:00Z"), toTime: time("2026-12-01T00:00:00Z") };
    expect(await branches.listOpenPeriods({ branchId, ...stretch })).toMatchObject({
      timeZone: "Asia/Seoul",
      periods: [
        {
          fromTime: time("2026-11-23T20:00:00Z"),
          toTime: time("2026-11-23T21:00:00Z"),
          fromUtcOffset: inSeoul,
          toUtcOffset: inSeoul,
        },
        { fromTime: time("2026-11-30T13:00:00Z"), toTime: time("2026-11-30T21:00:00Z") },
      ],
    });
    const verdictOf = async (plan: string, given: object = {}): Promise<string | undefined> => {
      const { verdict } = await branches.tryEntryRules({ branchId, time: at, plan, ...given });
      return Object.entries(EntryVerdict).find(([, value]) => value === verdict)?.[0];
    };
    expect(await verdictOf("gold", { hasPresentationAttackScore: true })).toBe("ADMITTED");
    expect(await verdictOf("gold")).toBe("SCORE_MISSING");
    expect(await verdictOf("gold", { insideCount: 40 })).toBe("FULL");
    expect(await verdictOf("silver")).toBe("PLAN_NOT_ADMITTED");
    expect(await verdictOf("")).toBe("NO_MEMBERSHIP");

    await branches.closeBranch({ branchId });
    expect((await branches.getOpenState({ branchId, time: at })).open).toBe(false);
    expect((await branches.listOpenPeriods({ branchId, ...stretch })).periods).toEqual([]);
    expect(await verdictOf("gold")).toBe("BRANCH_CLOSED");
  });

  test("carry the offsets of their own moments, whichever course of an hour they are in", async () => {
    const owner = await service.newOwner();
    const openingHours = { exceptions: [{ date: "2026-10-24", periods: [{ openMinute: 1320, closeMinute: 1800 }] }] };
    const { branchId } = await service.newBranch(owner, { timeZone: "Europe/Berlin", openingHours });
    const state = await service.branches(owner).getOpenState({ branchId, time: time("2026-10-25T00:30:00Z") });
    expect(state).toMatchObject({
      sinceTime: time("2026-10-24T20:00:00Z"),
      untilTime: time("2026-10-25T05:00:00Z"),
      timeUtcOffset: { seconds: 7200n },
      sinceUtcOffset: { seconds: 7200n },
      untilUtcOffset: { seconds: 3600n },
    });
  });

  test("of a branch whose time zone is not known any more are refused by its name; all else goes on", async () => {
    const owner = await service.newOwner();
    const { branchId } = await service.newBranch(owner, full);
    const { branchId: always } = await service.newBranch(owner);
    await service.database.sql`
      UPDATE branches SET content = jsonb_set(content, '{timeZone}', '"Mars/Olympus"')
      WHERE branch_id IN (${branchId}, ${always})`;
    const branches = service.branches(owner);
    const asked = [
      branches.getOpenState({ branchId }),
      branches.listOpenPeriods({ branchId }),
      branches.tryEntryRules({ branchId, plan: "gold" }),
    ];
    expect(await Promise.all(asked.map(outcomeOf))).toEqual(asked.map(() => "FailedPrecondition TIME_ZONE_UNKNOWN"));
    const state = await branches.getOpenState({ branchId: always });
    expect([state.open, state.timeUtcOffset]).toEqual([true, undefined]);
    expect((await branches.listOpenPeriods({ branchId: always })).periods).toHaveLength(1);

    expect((await branches.getBranch({ branchId })).branch?.timeZone).toBe("Mars/Olympus");
    const { branch } = await branches.updateBranch({ branch: { branchId, displayName: "Yeoksam" } });
    expect(branch).toMatchObject({ displayName: "Yeoksam", timeZone: "Mars/Olympus" });
    expect(await violationsOf(branches.updateBranch({ branch: { branchId, timeZone: "Mars/Utopia" } }))).toEqual([
      'branch.time_zone: must be a time zone of the IANA database, such as "Asia/Seoul"',
    ]);
    await branches.updateBranch({ branch: { branchId, timeZone: "Asia/Seoul" } });
    expect((await branches.getOpenState({ branchId, time: time("2026-11-23T20:00:00Z") })).open).toBe(true);
  });

  test("are asked for within bounds", async () => {
    const owner = await service.newOwner();
    const { branchId } = await service.newBranch(owner);
    const fromTime = time("2026-01-01T00:00:00Z");
    const list = (toTime: string) =>
      service.branches(owner).listOpenPeriods({ branchId, fromTime, toTime: time(toTime) });
    expect((await list("2026-04-03T00:00:00Z")).periods).toHaveLength(1);
    for (const toTime of ["2026-04-03T00:00:01Z", "2025-12-31T00:00:00Z"]) {
      expect(await violationsOf(list(toTime))).toEqual(["to_time: must be from from_time to 92 days after it"]);
    }
    const distant = { seconds: 253_370_764_800n };
    expect(await outcomeOf(service.branches(owner).getOpenState({ branchId, time: distant }))).toBe(
      "InvalidArgument FIELD_INVALID",
    );
  });
});

describe("a republished state", () => {
  test("is that of every branch at its version, whatever became of it", async () => {
    await using own = await startBranchOwner();
    const owner = await own.newOwner();
    const one = await own.newBranch(owner, full);
    const two = await own.newBranch(owner);
    await own.branches(owner).addStaff({
      branchId: two.branchId,
      staffMember: { userId: (await own.signUp()).id, role: StaffRole.ATTENDANT },
    });
    await own.branches(owner).closeBranch({ branchId: two.branchId });
    const before = await own.events();
    expect(await own.republish("identity.branch")).toBe(2);
    const again = (await own.events()).slice(before.length) as BranchCreated[];
    expect(again.map(nameOf)).toEqual(["BranchCreated 1", "BranchCreated 3"]);
    expect(again[0]).toEqual(before[0] as BranchCreated);
    const last = before.at(-1) as BranchUpdated;
    expect(again[1]).toMatchObject({ branch: last.branch, staff: last.staff, branchId: two.branchId });
    expect(one.branchId).toBe(again[0]?.branchId ?? "");
  });
});

describe("staff", () => {
  test("must have signed up, and is not the owner", async () => {
    const owner = await service.newOwner();
    const { branchId } = await service.newBranch(owner);
    const add = (userId: string) =>
      service.branches(owner).addStaff({ branchId, staffMember: { userId, role: StaffRole.MANAGER } });
    expect(await outcomeOf(add("nobody"))).toBe("NotFound USER_NOT_FOUND");
    expect(await violationsOf(add(owner.id))).toEqual(["staff_member.user_id: owns the branch; name somebody else"]);
    expect(await outcomeOf(service.branches(owner).removeStaff({ branchId, userId: "nobody" }))).toBe(
      "NotFound STAFF_NOT_FOUND",
    );
    expect(await eventsOf(branchId)).toHaveLength(1);
  });

  test("that becomes the owner is staff no more", async () => {
    const [owner, heir] = await Promise.all([service.newOwner(), service.newOwner()]);
    const { branchId } = await service.newBranch(owner);
    const staffMember = { userId: heir.id, role: StaffRole.MANAGER };
    await service.branches(owner).addStaff({ branchId, staffMember });
    await service.branches(administrator).transferBranch({ branchId, ownerId: heir.id });
    expect((await service.branches(heir).listStaff({ branchId })).staff).toEqual([]);
    expect((await eventsOf(branchId)).at(-1)?.staff).toEqual([]);
  });
});

describe("an owner", () => {
  test("is registered once, seen and changed by themself, with mask and etag", async () => {
    const person = await service.signUp("Park");
    const owner = { userId: person.id, companyName: "Park Gyms", contactEmail: "park@example.com" };
    const register = () => service.owners(administrator).registerOwner({ owner });
    expect((await register()).owner).toMatchObject({ ...owner, displayName: "Park", etag: "v1" });
    expect(await outcomeOf(register())).toBe("AlreadyExists OWNER_EXISTS");
    expect(await outcomeOf(service.owners(administrator).registerOwner({ owner: { userId: "nobody" } }))).toBe(
      "NotFound USER_NOT_FOUND",
    );
    const owners = service.owners(person);
    const change = { userId: person.id, companyName: "", contactPhoneNumber: "+82212345678", etag: "v1" };
    const { owner: changed } = await owners.updateOwner({
      owner: change,
      updateMask: { paths: ["company_name", "contact_phone_number"] },
    });
    expect(changed).toMatchObject({ ...owner, companyName: "", contactPhoneNumber: "+82212345678", etag: "v2" });
    expect((await owners.getOwner({ userId: person.id })).owner).toEqual(changed);
    const same = { userId: person.id, contactPhoneNumber: "+82212345678" };
    expect((await owners.updateOwner({ owner: same })).owner).toEqual(changed);
    expect((await owners.updateOwner({ owner: { userId: person.id } })).owner).toEqual(changed);
    expect(await outcomeOf(owners.updateOwner({ owner: change }))).toBe("Aborted ETAG_MISMATCH");
    const [violation] = await violationsOf(
      owners.updateOwner({ owner: { userId: person.id }, updateMask: { paths: ["display_name"] } }),
    );
    expect(violation).toContain('"display_name" cannot be updated; use company_name');
    expect(await outcomeOf(service.owners(await service.signUp()).getOwner({ userId: person.id }))).toBe(
      "PermissionDenied OWNER_FORBIDDEN",
    );
  });

  test.each([
    "ada@example.org/x",
    "ada@example.org?x",
    "ada@example.org#x",
    "ada@example.org\\x",
    "ada@ex%61mple.org",
    "num@42",
    "num@0x7f.1",
    "num@2130706433",
    "dd@example..org",
    "hy@example-.org",
    "a..b@example.org",
    ".a@example.org",
    "a.@example.org",
    "ada@[192.0.2.1]",
  ])("has no contact_email %s", async (contactEmail) => {
    const person = await service.signUp();
    const owner = { userId: person.id, contactEmail };
    const rule = "owner.contact_email: must be an e-mail address such as office@example.org";
    expect(await violationsOf(service.owners(administrator).registerOwner({ owner }))).toEqual([rule]);
    await service
      .owners(administrator)
      .registerOwner({ owner: { userId: person.id, contactEmail: "a@bücher.example" } });
    expect(await violationsOf(service.owners(person).updateOwner({ owner }))).toEqual([rule]);
    expect((await service.owners(person).getOwner({ userId: person.id })).owner).toMatchObject({
      contactEmail: "a@bücher.example",
      etag: "v1",
    });
  });
});
