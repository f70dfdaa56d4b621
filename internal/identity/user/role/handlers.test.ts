import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { Role } from "../../../gen/muin/identity/v1/user_pb.ts";
import type { User } from "../../../gen/muin/identity/v1/user_service_pb.ts";
import { roleNames } from "../person/person.ts";
import { keyWith, newsOf, operator, outcomeOf, startMutant, startUser, type UserFixture } from "../user-fixture.ts";

let user: UserFixture;
beforeAll(async () => {
  user = await startUser();
});
afterAll(() => user[Symbol.asyncDispose]());

const everywhere = (role: Role): { readonly role: Role; readonly branchId: string } => ({ role, branchId: "" });
const administrator = everywhere(Role.ADMINISTRATOR);
const scopes = ["users.read", "users.manage", "scopes.manage"];

const rolesOf = (seen: User | undefined): string[] =>
  (seen?.roleAssignments ?? []).map(({ role, branchId }) => `${roleNames.get(role)} ${branchId}`.trim());

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
      "PermissionDenied ROLE_HOLDS_MORE",
    );
    expect(await outcomeOf(manager.unassignRole({ userId: id, assignment: administrator }))).toBe(
      "PermissionDenied ROLE_HOLDS_MORE",
    );
    expect(await outcomeOf(user.as(operator).assignRole({ userId: id, assignment: administrator }))).toBe("done");
  });

  test("mutant: a manager who makes themself administrator is noticed", async () => {
    await using careless = await startMutant("role/handlers.ts", "missing.length > 0", "false");
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
    await using careless = await startMutant(
      "person/store-postgres.ts",
      "await tx`SELECT pg_advisory_xact_lock(hashtext(${administratorsLock}))`;",
      "await tx`SELECT hashtext(${administratorsLock})`;",
    );
    expect(await administratorsLeft(careless, 60)).toContain(0);
  });

  test("mutant: one who can be suspended is noticed", async () => {
    await using careless = await startMutant("person/person.ts", "&& others === 0) return", "&& others < 0) return");
    expect(await administratorsLeft(careless, 1)).toEqual([0]);
  });
});
