import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { Role, UserStatus } from "../../../gen/muin/identity/v1/user_pb.ts";
import type { Caller } from "../../../platform/identity/caller.ts";
import { keyWith, operator, outcomeOf, personOf, startMutant, startUser, type UserFixture } from "../user-fixture.ts";

let user: UserFixture;
beforeAll(async () => {
  user = await startUser();
});
afterAll(() => user[Symbol.asyncDispose]());

/** Every call that names a person, as `caller` makes it of `userId`. */
const calls = (on: UserFixture, caller: Caller, userId: string): Readonly<Record<string, () => Promise<unknown>>> => {
  const client = on.as(caller);
  const assignment = { role: Role.HELPER, branchId: "b1" };
  return {
    getUser: () => client.getUser({ userId }),
    updateUser: () => client.updateUser({ user: { userId, displayName: "X" } }),
    getPreferences: () => client.getPreferences({ userId }),
    updatePreferences: () => client.updatePreferences({ userId, preferences: { values: { "a.b": "c" } } }),
    exportUserData: () => client.exportUserData({ userId }),
    assignRole: () => client.assignRole({ userId, assignment }),
    unassignRole: () => client.unassignRole({ userId, assignment }),
    setMembership: () => client.setMembership({ userId, membership: { plan: "standard" } }),
    pauseMembership: () => client.pauseMembership({ userId }),
    resumeMembership: () => client.resumeMembership({ userId }),
    endMembership: () => client.endMembership({ userId }),
    suspendUser: () => client.suspendUser({ userId, reason: "x" }),
    reactivateUser: () => client.reactivateUser({ userId }),
    deleteUser: () => client.deleteUser({ userId }),
  };
};

const outcomesOf = async (made: Readonly<Record<string, () => Promise<unknown>>>): Promise<Record<string, string>> => {
  const outcomes: Record<string, string> = {};
  for (const [name, call] of Object.entries(made)) outcomes[name] = await outcomeOf(call());
  return outcomes;
};

const ownOnly = {
  getUser: "PermissionDenied USER_FORBIDDEN",
  updateUser: "PermissionDenied USER_FORBIDDEN",
  getPreferences: "PermissionDenied USER_FORBIDDEN",
  updatePreferences: "PermissionDenied USER_FORBIDDEN",
  exportUserData: "PermissionDenied USER_FORBIDDEN",
  deleteUser: "PermissionDenied USER_FORBIDDEN",
};
const manageOnly = {
  assignRole: "PermissionDenied SCOPE_MISSING",
  unassignRole: "PermissionDenied SCOPE_MISSING",
  setMembership: "PermissionDenied SCOPE_MISSING",
  pauseMembership: "PermissionDenied SCOPE_MISSING",
  resumeMembership: "PermissionDenied SCOPE_MISSING",
  endMembership: "PermissionDenied SCOPE_MISSING",
  suspendUser: "PermissionDenied SCOPE_MISSING",
  reactivateUser: "PermissionDenied SCOPE_MISSING",
};

describe("another person", () => {
  test("can be neither read nor changed, and whether they are there is not told", async () => {
    const [me, other] = [await user.signUp(), await user.signUp({ email: "eve@example.org" })];
    const nobody = crypto.randomUUID();
    const expected = { ...ownOnly, ...manageOnly };
    expect(await outcomesOf(calls(user, me, other.id))).toEqual(expected);
    expect(await outcomesOf(calls(user, me, nobody))).toEqual(expected);
    expect(await outcomesOf(calls(user, me, "no id at all"))).toEqual(expected);
    const { user: untouched } = await user.as(operator).getUser({ userId: other.id });
    expect(untouched).toMatchObject({ displayName: "Ada", etag: "v1.1" });
  });

  test("can be read with users.read, and with users.manage changed, but for what is their own", async () => {
    const other = await user.signUp();
    const kind = "PermissionDenied CALLER_KIND";
    expect(await outcomesOf(calls(user, keyWith("users.read"), other.id))).toEqual({
      ...ownOnly,
      ...manageOnly,
      getUser: "done",
      getPreferences: kind,
      updatePreferences: kind,
    });
    const done = Object.fromEntries(Object.keys(manageOnly).map((name) => [name, "done"]));
    expect(await outcomesOf(calls(user, personOf(crypto.randomUUID(), ["users.manage"]), other.id))).toEqual({
      ...ownOnly,
      ...done,
      updateUser: "done",
      deleteUser: "done",
    });
  });

  test("mutant: a look that does not ask whose it is, is noticed", async () => {
    await using careless = await startMutant("person/call.ts", "checkPersonOrScopes(caller, target, ...scopes);", "");
    const [me, other] = [await careless.signUp(), await careless.signUp()];
    expect(await outcomesOf(calls(careless, me, other.id))).toMatchObject({ getUser: "done", updateUser: "done" });
  });

  test("mutant: preferences that are shown to others are noticed", async () => {
    await using careless = await startMutant("person/call.ts", "target !== person.id", "false");
    const [me, other] = [await careless.signUp(), await careless.signUp()];
    expect(await outcomesOf(calls(careless, me, other.id))).toMatchObject({
      getPreferences: "done",
      updatePreferences: "done",
    });
  });

  test("who is nobody, is told to who may know", async () => {
    const admin = personOf(crypto.randomUUID(), ["users.read", "users.manage", "audit.read"]);
    for (const [userId, outcome] of [
      [crypto.randomUUID(), "NotFound USER_NOT_FOUND"],
      ["nobody", "NotFound USER_NOT_FOUND"],
      ["\u0000", "InvalidArgument FIELD_INVALID"],
    ] as const) {
      const { getPreferences: _, updatePreferences: __, ...made } = calls(user, admin, userId);
      expect(Object.values(await outcomesOf(made))).toEqual(Array(12).fill(outcome));
    }
  });
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
    for (const query of [{ email: "\u0000" }, { branchId: "b\u0000" }, { plan: "\ud800" }]) {
      expect(await outcomeOf(client.listUsers(query))).toBe("InvalidArgument FIELD_INVALID");
    }
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
