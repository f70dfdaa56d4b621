import { create, isMessage } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { UserStatusChangedSchema, UserUpdatedSchema } from "../../gen/muin/identity/v1/user_events_pb.ts";
import { MembershipSchema, Role, UserStatus, type Membership } from "../../gen/muin/identity/v1/user_pb.ts";
import type { User } from "../../gen/muin/identity/v1/user_service_pb.ts";
import type { ServiceInfo } from "../../platform/service/define-service.ts";
import { importMutant } from "../../platform/testing/mutant.ts";
import { roleNames, statusNames } from "./person/person.ts";
import { keyWith, operator, outcomeOf, startUser, type UserFixture } from "./user-fixture.ts";

let user: UserFixture;
beforeAll(async () => {
  user = await startUser();
});
afterAll(() => user[Symbol.asyncDispose]());

const everywhere = (role: Role): { readonly role: Role; readonly branchId: string } => ({ role, branchId: "" });
const administrator = everywhere(Role.ADMINISTRATOR);
const scopes = ["users.read", "users.manage", "scopes.manage"];

async function mutantOf(name: string, from: string, to: string): Promise<UserFixture> {
  const mutant = await importMutant<{ user: ServiceInfo }>(join(import.meta.dir, name), from, to, [
    join(import.meta.dir, "definition.ts"),
  ]);
  return startUser({ from: mutant.user });
}

const rolesOf = (seen: User | undefined): string[] =>
  (seen?.roleAssignments ?? []).map(({ role, branchId }) => `${roleNames.get(role)} ${branchId}`.trim());

/** Events about a person, as "version" of UserUpdated and "STATUS version" of UserStatusChanged. */
async function newsOf(on: UserFixture, userId: string): Promise<readonly string[]> {
  return (await on.events()).flatMap((event) => {
    if (isMessage(event, UserUpdatedSchema) && event.userId === userId) return [`${event.aggregateVersion}`];
    if (isMessage(event, UserStatusChangedSchema) && event.userId === userId)
      return [`${statusNames.get(event.status)} ${event.aggregateVersion}`];
    return [];
  });
}

describe("roles", () => {
  test("are given and taken per branch, once however often it is asked for, and announced", async () => {
    const { id } = await user.signUp();
    const client = user.as(operator);
    const helper = { role: Role.HELPER, branchId: "b2" };
    for (const assignment of [helper, helper, { ...helper, branchId: "b1" }, everywhere(Role.OWNER)]) {
      await client.assignRole({ userId: id, assignment });
    }
    const { user: after } = await client.unassignRole({ userId: id, assignment: everywhere(Role.MEMBER) });
    await client.unassignRole({ userId: id, assignment: everywhere(Role.MEMBER) });
    expect(rolesOf(after)).toEqual(["OWNER", "HELPER b1", "HELPER b2"]);
    expect(await newsOf(user, id)).toEqual(["1", "2", "3", "4", "5"]);
  });

  test("that cannot be are refused", async () => {
    const { id } = await user.signUp();
    const client = user.as(operator);
    const outcomes = [
      { role: Role.ADMINISTRATOR, branchId: "b1" },
      { role: Role.OWNER, branchId: "b1" },
      { role: Role.UNSPECIFIED, branchId: "" },
      { role: 99 as Role, branchId: "" },
      { role: Role.HELPER, branchId: "b\u0000" },
      { role: Role.HELPER, branchId: "b".repeat(65) },
    ].map((assignment) => outcomeOf(client.assignRole({ userId: id, assignment })));
    expect((await Promise.all(outcomes)).filter((each) => !each.startsWith("InvalidArgument "))).toEqual([]);
    expect(await outcomeOf(client.assignRole({ userId: id }))).toStartWith("InvalidArgument ");
  });

  test("of one person are at most a hundred", async () => {
    const { id } = await user.signUp();
    const client = user.as(operator);
    const give = (n: number): Promise<string> =>
      outcomeOf(client.assignRole({ userId: id, assignment: { role: Role.HELPER, branchId: `b${n}` } }));
    await user.database.sql`
      INSERT INTO role_assignments SELECT ${id}, 'HELPER', 'b' || n FROM generate_series(2, 99) n`;
    expect(await give(1)).toBe("done");
    expect([await give(100), await give(99)]).toEqual(["FailedPrecondition TOO_MANY_ROLES", "done"]);
  });

  test("that hold every scope are given only by who may give every scope", async () => {
    const { id } = await user.signUp();
    const manager = user.as(keyWith("users.read", "users.manage"));
    expect(await outcomeOf(manager.assignRole({ userId: id, assignment: administrator }))).toBe(
      "PermissionDenied SCOPE_MISSING",
    );
    expect(await outcomeOf(manager.unassignRole({ userId: id, assignment: administrator }))).toBe(
      "PermissionDenied SCOPE_MISSING",
    );
    expect(await outcomeOf(user.as(operator).assignRole({ userId: id, assignment: administrator }))).toBe("done");
  });

  test("mutant: a manager who makes themself administrator is noticed", async () => {
    await using careless = await mutantOf("role/handlers.ts", "!hasScope(caller, administratorScope)", "false");
    const { id } = await careless.signUp();
    const manager = careless.as(keyWith("users.manage"));
    expect(await outcomeOf(manager.assignRole({ userId: id, assignment: administrator }))).toBe("done");
  });
});

/** Two administrators who both go at once, by each of the ways there are; returns how many were kept, until none was. */
async function administratorsLeft(on: UserFixture, rounds = 5): Promise<readonly number[]> {
  const left: number[] = [];
  for (let round = 0; round < rounds; round++) {
    await on.database.sql`DELETE FROM role_assignments`;
    const people = [await on.signUp({ roles: ["administrator"] }), await on.signUp({ roles: ["administrator"] })];
    const client = on.as(operator);
    const [first, second] = people.map(({ id }) => id);
    const ways: ((userId: string) => Promise<unknown>)[] = [
      (userId) => client.unassignRole({ userId, assignment: administrator }),
      (userId) => client.suspendUser({ userId, reason: "x" }),
      (userId) => client.deleteUser({ userId }),
    ];
    const ends = [ways[round % 3]?.(first ?? ""), ways[(round + 1) % 3]?.(second ?? "")];
    const outcomes = await Promise.all(ends.map((end) => outcomeOf(end as Promise<unknown>)));
    left.push(outcomes.filter((outcome) => outcome === "FailedPrecondition LAST_ADMINISTRATOR").length);
    if (left.at(-1) === 0) break;
  }
  return left;
}

describe("the last administrator", () => {
  test("who is active keeps the role, is not suspended and not deleted", async () => {
    await user.database.sql`DELETE FROM role_assignments`;
    const last = await user.signUp({ roles: ["administrator"], scopes });
    const asleep = await user.signUp({ roles: ["administrator"] });
    const client = user.as(operator);
    await client.suspendUser({ userId: asleep.id, reason: "away" });
    for (const call of [
      () => client.unassignRole({ userId: last.id, assignment: administrator }),
      () => client.suspendUser({ userId: last.id, reason: "x" }),
      () => client.deleteUser({ userId: last.id }),
      () => user.as(last).deleteUser({ userId: "me" }),
    ]) {
      expect(await outcomeOf(call())).toBe("FailedPrecondition LAST_ADMINISTRATOR");
    }
    await client.reactivateUser({ userId: asleep.id });
    expect(await outcomeOf(client.unassignRole({ userId: last.id, assignment: administrator }))).toBe("done");
  });

  test("is the last of two who go at the same time", async () => {
    expect(await administratorsLeft(user)).toEqual([1, 1, 1, 1, 1]);
  });

  test("mutant: two who both go because they do not wait for each other are noticed", async () => {
    await using careless = await mutantOf(
      "person/store-postgres.ts",
      "await tx`SELECT pg_advisory_xact_lock(hashtext(${administratorsLock}))`;",
      "await tx`SELECT hashtext(${administratorsLock})`;",
    );
    expect(await administratorsLeft(careless, 60)).toContain(0);
  });

  test("mutant: one who can be suspended is noticed", async () => {
    await using careless = await mutantOf("person/person.ts", "&& others === 0) return", "&& others < 0) return");
    expect(await administratorsLeft(careless, 1)).toEqual([0]);
  });
});

const seen = ({ user }: { readonly user?: User | undefined }): Membership | undefined => user?.membership;

describe("a membership", () => {
  test("is set, rests, goes on and ends", async () => {
    const { id } = await user.signUp();
    const client = user.as(operator);
    const [fromTime, untilTime] = [timestampFromMs(1_767_225_600_000), timestampFromMs(1_798_761_600_000)];
    const standard = create(MembershipSchema, { plan: "standard", fromTime, untilTime });
    const set = await client.setMembership({ userId: id, membership: standard, etag: "v1.1" });
    expect(seen(set)).toEqual(standard);
    expect(seen(await client.pauseMembership({ userId: id }))).toEqual({ ...standard, paused: true });
    expect(seen(await client.pauseMembership({ userId: id }))).toEqual({ ...standard, paused: true });
    expect(seen(await client.resumeMembership({ userId: id }))).toEqual(standard);
    expect(seen(await client.setMembership({ userId: id, membership: { plan: "day-pass" } }))).toEqual(
      create(MembershipSchema, { plan: "day-pass" }),
    );
    expect(seen(await client.endMembership({ userId: id }))).toBeUndefined();
    await client.endMembership({ userId: id });
    expect(await newsOf(user, id)).toEqual(["1", "2", "3", "4", "5", "6"]);
    expect(await outcomeOf(client.pauseMembership({ userId: id }))).toBe("FailedPrecondition NO_MEMBERSHIP");
    expect(await outcomeOf(client.setMembership({ userId: id, membership: standard, etag: "v1.1" }))).toBe(
      "Aborted ETAG_MISMATCH",
    );
  });

  test.each<[string, Partial<Omit<Membership, "$typeName" | "$unknown">>]>([
    ["no plan", {}],
    ["a plan of capitals", { plan: "Gold" }],
    ["a huge plan", { plan: "p".repeat(65) }],
    ["an end before its beginning", { plan: "p", fromTime: timestampFromMs(2), untilTime: timestampFromMs(1) }],
    ["an end at its beginning", { plan: "p", fromTime: timestampFromMs(1), untilTime: timestampFromMs(1) }],
    ["an end beyond all calendars", { plan: "p", untilTime: timestampFromMs(Date.UTC(10_000, 0, 1)) }],
    ["a beginning before all calendars", { plan: "p", fromTime: timestampFromMs(-70_000_000_000_000) }],
  ])("with %s is refused", async (_, membership) => {
    const { id } = await user.signUp();
    expect(await outcomeOf(user.as(operator).setMembership({ userId: id, membership }))).toStartWith(
      "InvalidArgument ",
    );
  });
});

describe("a suspension", () => {
  test("is announced with its version, its reason told to who may read people, and lifted again", async () => {
    const me = await user.signUp();
    const client = user.as(operator);
    for (const reason of ["lost card", "lost card", "lost card, twice"])
      await client.suspendUser({ userId: me.id, reason });
    expect((await client.getUser({ userId: me.id })).user).toMatchObject({
      status: UserStatus.SUSPENDED,
      suspendReason: "lost card, twice",
      etag: "v1.2",
    });
    expect((await user.as(me).getUser({ userId: "me" })).user?.suspendReason).toBe("");
    expect((await user.as(me).exportUserData({ userId: "me" })).user?.suspendReason).toBe("lost card, twice");
    await client.reactivateUser({ userId: me.id });
    await client.reactivateUser({ userId: me.id });
    expect((await client.getUser({ userId: me.id })).user).toMatchObject({
      status: UserStatus.ACTIVE,
      suspendReason: "",
    });
    expect(await newsOf(user, me.id)).toEqual(["1", "SUSPENDED 2", "ACTIVE 3"]);
  });

  test("needs a reason, and is of somebody else", async () => {
    const me = await user.signUp({ scopes });
    const client = user.as(me);
    expect(await outcomeOf(client.suspendUser({ userId: me.id, reason: "" }))).toStartWith("InvalidArgument ");
    for (const userId of [me.id, "me"]) {
      expect(await outcomeOf(client.suspendUser({ userId, reason: "x" }))).toBe("FailedPrecondition OWN_STATUS");
      expect(await outcomeOf(client.reactivateUser({ userId }))).toBe("FailedPrecondition OWN_STATUS");
    }
  });

  test("needs no auth", async () => {
    const { id } = await user.signUp();
    user.auth.away = true;
    try {
      expect(await outcomeOf(user.as(operator).suspendUser({ userId: id, reason: "x" }))).toBe("done");
    } finally {
      user.auth.away = false;
    }
  });
});

test("a change that is announced with personal fields waits for auth, and makes nothing without it", async () => {
  await using fresh = await startUser();
  const { id } = await fresh.signUp();
  // Who has just been started remembers no key.
  const client = fresh.again().as(operator);
  fresh.auth.away = true;
  const rename = (): Promise<string> => outcomeOf(client.updateUser({ user: { userId: id, displayName: "B" } }));
  expect(await rename()).toBe("Unavailable IDENTITY_UNAVAILABLE");
  expect((await client.getUser({ userId: id })).user).toMatchObject({ displayName: "Ada", etag: "v1.1" });
  fresh.auth.away = false;
  expect([await rename(), await newsOf(fresh, id)]).toEqual(["done", ["1", "2"]]);
});

describe("the list of people", () => {
  test("is read in pages, by role, branch, status, plan and address", async () => {
    await using fresh = await startUser();
    const client = fresh.as(operator);
    const people: string[] = [];
    for (let n = 0; n < 7; n++) people.push((await fresh.signUp({ email: `p${n}@example.org` })).id);
    const [a = "", b = "", c = "", d = ""] = people;
    await client.assignRole({ userId: a, assignment: { role: Role.HELPER, branchId: "b1" } });
    await client.assignRole({ userId: b, assignment: { role: Role.HELPER, branchId: "b2" } });
    await client.assignRole({ userId: c, assignment: { role: Role.MEMBER, branchId: "b1" } });
    await client.setMembership({ userId: b, membership: { plan: "gold" } });
    await client.suspendUser({ userId: c, reason: "x" });
    await client.deleteUser({ userId: d });

    const read = async (query: object, pageSize = 2): Promise<string[]> => {
      const ids: string[] = [];
      let pageToken = "";
      do {
        const page = await client.listUsers({ ...query, pageSize, pageToken });
        expect(page.users.length).toBeLessThanOrEqual(pageSize);
        ids.push(...page.users.map(({ userId }) => userId));
        pageToken = page.nextPageToken;
      } while (pageToken !== "");
      return ids;
    };
    const all = people.filter((id) => id !== d);
    expect(await read({})).toEqual(all.toSorted());
    expect(await read({}, 6)).toEqual(all.toSorted());
    expect(await read({ role: Role.HELPER })).toEqual([a, b]);
    expect(await read({ branchId: "b1" })).toEqual([a, c]);
    expect(await read({ role: Role.HELPER, branchId: "b1" })).toEqual([a]);
    expect(await read({ status: UserStatus.SUSPENDED })).toEqual([c]);
    expect(await read({ status: UserStatus.DELETED })).toEqual([d]);
    expect(await read({ plan: "gold" })).toEqual([b]);
    expect(await read({ plan: "silver" })).toEqual([]);
    expect(await read({ email: "P1@Example.org" })).toEqual([b]);
    expect(await read({ email: "\u0000" })).toEqual([]);
  });

  test("takes a page token of the same question only", async () => {
    const client = user.as(operator);
    const { nextPageToken: pageToken } = await client.listUsers({ pageSize: 1 });
    expect(await outcomeOf(client.listUsers({ pageSize: 1, pageToken, plan: "gold" }))).toBe(
      "InvalidArgument PAGE_TOKEN_INVALID",
    );
    expect(await outcomeOf(client.listUsers({ pageToken: "x" }))).toBe("InvalidArgument PAGE_TOKEN_INVALID");
    expect(await outcomeOf(client.listUsers({ pageSize: 1001 }))).toStartWith("InvalidArgument ");
  });
});

const many = (from: number, count: number): Record<string, string> =>
  Object.fromEntries(Array.from({ length: count }, (_, n) => [`a.k${from + n}`, "v"]));

describe("preferences", () => {
  test("are merged, removed by empty values, and guarded by their etag", async () => {
    const me = user.as(await user.signUp());
    const set = (values: Record<string, string>, etag = ""): Promise<string> =>
      outcomeOf(me.updatePreferences({ userId: "me", preferences: { values, etag } }));
    const seen = async () => (await me.getPreferences({ userId: "me" })).preferences;
    expect(await seen()).toMatchObject({ values: {}, etag: "p0" });
    await set({ "app.theme": "dark", "app.size": "12" });
    await set({ "app.theme": "light", "door.sound": "on" });
    await set({ "app.size": "", "app.none": "" });
    await set({ "app.theme": "light" });
    expect(await seen()).toMatchObject({ values: { "app.theme": "light", "door.sound": "on" }, etag: "p3" });
    expect([await set({ "a.b": "c" }, "p2"), await set({ "a.b": "c" }, "p3")]).toEqual([
      "Aborted ETAG_MISMATCH",
      "done",
    ]);
  });

  test("are bounded, and refuse what no store takes", async () => {
    const me = user.as(await user.signUp());
    const set = (values: Record<string, string>): Promise<string> =>
      outcomeOf(me.updatePreferences({ userId: "me", preferences: { values } }));
    expect([await set(many(0, 64)), await set(many(64, 1)), await set(many(0, 65))]).toEqual([
      "done",
      "FailedPrecondition TOO_MANY_PREFERENCES",
      "InvalidArgument FIELD_INVALID",
    ]);
    for (const [key, value] of [
      ["theme", "dark"],
      ["App.theme", "dark"],
      ["a..b", "x"],
      ["__proto__", "x"],
      [`a.${"b".repeat(63)}`, "x"],
      ["a.b", "x".repeat(1025)],
      ["a.b", "\u0000"],
    ] as const) {
      expect(await set({ [key]: value })).toStartWith("InvalidArgument ");
    }
  });

  test("keep every one of many concurrent changes", async () => {
    const me = user.as(await user.signUp());
    await Promise.all(
      Array.from({ length: 20 }, (_, n) =>
        me.updatePreferences({ userId: "me", preferences: { values: { [`a.k${n}`]: "v" } } }),
      ),
    );
    const { preferences } = await me.getPreferences({ userId: "me" });
    expect([Object.keys(preferences?.values ?? {}).length, preferences?.etag]).toEqual([20, "p20"]);
  });
});
