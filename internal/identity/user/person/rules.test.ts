import { isMessage, type Message } from "@bufbuild/protobuf";
import { describe, expect, test } from "bun:test";
import {
  UserContactSchema,
  UserStatusChangedSchema,
  UserUpdatedSchema,
} from "../../../gen/muin/identity/v1/user_events_pb.ts";
import { UserStatus } from "../../../gen/muin/identity/v1/user_pb.ts";
import { openPersonal } from "../../../shared/person/person-seal.ts";
import { roleNames, statusNames } from "./person.ts";
import { newsOf, operator, outcomeOf, personOf, startUser, type UserFixture } from "../user-fixture.ts";

/** What an event says, its personal fields opened. */
const plain = (user: UserFixture, event: Message): unknown => {
  if (isMessage(event, UserStatusChangedSchema)) {
    return { status: statusNames.get(event.status), version: event.aggregateVersion };
  }
  if (!isMessage(event, UserUpdatedSchema) || event.contact === undefined) throw new Error(`no ${event.$typeName}`);
  const key = user.auth.keys.get(event.userId);
  if (key === undefined) throw new Error("destroyed");
  const { $typeName: _, ...contact } = openPersonal(UserContactSchema, event.contact, key);
  return {
    contact,
    roles: event.roleAssignments.map(({ role, branchId }) => `${roleNames.get(role)} ${branchId}`.trim()),
    plan: event.membership?.plan,
    version: event.aggregateVersion,
  };
};
const ada = { email: "ada@example.org", displayName: "Ada", locale: "", timeZone: "", phoneNumber: "", pictureUri: "" };

describe("who signs up", () => {
  test("has a profile with their first roles, which is announced", async () => {
    await using user = await startUser();
    const me = await user.signUp({ roles: ["member", "administrator", "unheard-of"] });
    const { user: seen } = await user.as(me).getUser({ userId: "me" });
    expect(seen).toMatchObject({ userId: me.id, ...ada, status: UserStatus.ACTIVE, etag: "v1.1", suspendReason: "" });
    expect(seen?.roleAssignments.map(({ role }) => roleNames.get(role))).toEqual(["ADMINISTRATOR", "MEMBER"]);
    const events = await user.events();
    expect(events.map((event) => plain(user, event))).toEqual([
      { contact: ada, roles: ["ADMINISTRATOR", "MEMBER"], plan: undefined, version: 1n },
    ]);
  });

  test("is told to wait until their profile is there, and nobody else learns that they wait", async () => {
    await using user = await startUser();
    const { personId } = user.auth.newcomer();
    const me = user.as(personOf(personId));
    const calls = [
      me.getUser({ userId: "me" }),
      me.updateUser({ user: { userId: personId, displayName: "Eve" } }),
      me.getPreferences({ userId: personId }),
      me.updatePreferences({ userId: "me", preferences: { values: { "a.b": "c" } } }),
      me.exportUserData({ userId: "me" }),
      me.deleteUser({ userId: "me" }),
    ];
    expect(await Promise.all(calls.map(outcomeOf))).toEqual(Array(6).fill("Unavailable PROFILE_NOT_READY"));
    expect(await outcomeOf(user.as(operator).getUser({ userId: personId }))).toBe("NotFound USER_NOT_FOUND");
  });

  test("is taken over once, and a newer address of theirs, but neither their name nor their roles", async () => {
    await using user = await startUser();
    const person = user.auth.newcomer();
    const first = user.auth.created(person);
    await user.deliver(first, "e1");
    await user.deliver(first, "e1");
    await user.deliver(first, "e2");
    await user.as(personOf(person.personId)).updateUser({ user: { userId: "me", displayName: "Countess" } });
    const moved = { email: "new@example.org", displayName: "Other", roles: ["owner"] };
    await user.deliver(user.auth.created(person, { ...moved, version: 3n }));
    await user.deliver(user.auth.created(person, { ...moved, email: "old@example.org", version: 2n }));
    expect((await user.events()).map((event) => plain(user, event))).toEqual([
      { contact: ada, roles: ["MEMBER"], plan: undefined, version: 1n },
      { contact: { ...ada, displayName: "Countess" }, roles: ["MEMBER"], plan: undefined, version: 2n },
      {
        contact: { ...ada, displayName: "Countess", email: "new@example.org" },
        roles: ["MEMBER"],
        plan: undefined,
        version: 3n,
      },
    ]);
  });

  test("and was erased before anybody heard of it, is nobody", async () => {
    await using user = await startUser();
    const person = user.auth.newcomer();
    const event = user.auth.created(person);
    user.auth.keys.set(person.personId, undefined);
    await user.deliver(event);
    expect(await outcomeOf(user.as(operator).getUser({ userId: person.personId }))).toBe("NotFound USER_NOT_FOUND");
  });

  test("is waited for while auth is away", async () => {
    await using user = await startUser();
    const person = user.auth.newcomer();
    user.auth.away = true;
    expect(
      await user.deliver(user.auth.created(person)).then(
        () => "done",
        () => "again",
      ),
    ).toBe("again");
    user.auth.away = false;
    await user.deliver(user.auth.created(person));
    expect((await user.events()).length).toBe(1);
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
