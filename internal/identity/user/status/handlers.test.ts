import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { UserStatus } from "../../../gen/muin/identity/v1/user_pb.ts";
import { newsOf, operator, outcomeOf, startUser, type UserFixture } from "../user-fixture.ts";

let user: UserFixture;
beforeAll(async () => {
  user = await startUser();
});
afterAll(() => user[Symbol.asyncDispose]());

const scopes = ["users.read", "users.manage", "scopes.manage"];

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
