import { isMessage } from "@bufbuild/protobuf";
import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { UserStatusChangedSchema, UserUpdatedSchema } from "../../../gen/muin/identity/v1/user_events_pb.ts";
import { UserStatus } from "../../../gen/muin/identity/v1/user_pb.ts";
import { ErasureState, type Erasure } from "../../../gen/muin/identity/v1/user_service_pb.ts";
import type { ServiceInfo } from "../../../platform/service/define-service.ts";
import { anonymous } from "../../../platform/identity/caller.ts";
import { eventually } from "../../../platform/testing/eventually.ts";
import { importMutant } from "../../../platform/testing/mutant.ts";
import { operator, outcomeOf, personOf, startUser, type UserFixture } from "../user-fixture.ts";
import { statusNames } from "../person/person.ts";

const stateOf = async (on: UserFixture, erasureId = ""): Promise<unknown> => {
  const { erasure } = await on.as(anonymous).getErasure({ erasureId });
  return [
    Object.entries(ErasureState).find(([, state]) => state === erasure?.state)?.[0],
    ...(erasure?.confirmations ?? [])
      .filter(({ confirmTime }) => confirmTime !== undefined)
      .map(({ service }) => service),
  ];
};

/** Runs user's background work for as long as `work` takes. */
async function withSweeper<T>(on: UserFixture, work: () => Promise<T>): Promise<T> {
  const sweepers = on.again().parts.flatMap((part) => (part.part === "background" ? [part.component] : []));
  await Promise.all(sweepers.map((each) => each.start()));
  try {
    return await work();
  } finally {
    await Promise.all(sweepers.map((each) => each.stop()));
  }
}

/** All texts of user's tables, events and receipts included. */
async function everything(on: UserFixture): Promise<string> {
  const rows: unknown[] = [];
  for (const table of ["users", "role_assignments", "preferences", "erasures", "erasure_confirmations"]) {
    rows.push(...(await on.database.sql.unsafe(`SELECT * FROM ${table}`)));
  }
  return JSON.stringify(rows);
}

/** Somebody who has said all that can be said of a person. */
async function talkative(on: UserFixture): Promise<string> {
  const me = await on.signUp({ email: "secret@example.org", displayName: "Secret Name" });
  await on.as(me).updateUser({
    user: {
      userId: "me",
      phoneNumber: "+821055555555",
      locale: "ko-KR",
      timeZone: "Asia/Seoul",
      pictureUri: "https://example.org/secret.png",
    },
  });
  await on.as(me).updatePreferences({ userId: "me", preferences: { values: { "a.b": "secret" } } });
  await on.as(operator).setMembership({ userId: me.id, membership: { plan: "secret" } });
  await on.as(operator).suspendUser({ userId: me.id, reason: "secret" });
  return me.id;
}

/** Whether a key was destroyed while a service had not confirmed. */
const destroysEarly = async (from?: ServiceInfo): Promise<boolean> => {
  await using user = await startUser(from === undefined ? {} : { from });
  const [early, later] = [(await user.signUp()).id, (await user.signUp()).id];
  for (const userId of [early, later]) await user.as(operator).deleteUser({ userId });
  await user.erased(early, "auth");
  for (const service of ["auth", "branch-owner"]) await user.erased(later, service);
  // Who was confirmed later is done: who was not had their turn before.
  await withSweeper(user, () => eventually(() => expect(user.auth.destroyed).toContain(later)));
  return user.auth.destroyed.includes(early);
};

describe("a deletion", () => {
  test("leaves nothing personal, waits for every service, then destroys the key, and tells how far it is", async () => {
    await using user = await startUser();
    const id = await talkative(user);
    const { erasure } = await user.as(personOf(id)).deleteUser({ userId: "me" });
    expect((await everything(user)).toLowerCase()).not.toMatch(/secret|5555|ko-kr|seoul/);
    const erasureId = erasure?.erasureId ?? "";
    expect([erasureId, await stateOf(user, erasureId)]).toEqual([expect.stringMatching(/^[0-9a-f]{32}$/), ["ERASING"]]);
    await user.erased(id, "auth");
    expect(user.erased(id, "somebody")).rejects.toThrow("of somebody is not consumed"); // Nobody hears a service that holds nothing.
    expect(await stateOf(user, erasureId)).toEqual(["ERASING", "auth"]);
    await withSweeper(user, async () => {
      expect(user.auth.destroyed).toEqual([]);
      await user.erased(id, "branch-owner");
      await eventually(async () => expect(await stateOf(user, erasureId)).toEqual(["DONE", "auth", "branch-owner"]));
    });
    expect(user.auth.destroyed).toEqual([id]);
    const last = (await user.events()).at(-1);
    expect(
      isMessage(last, UserStatusChangedSchema) && [last.userId, statusNames.get(last.status), last.aggregateVersion],
    ).toEqual([id, "DELETED", 3n]);
    expect((await user.as(operator).getUser({ userId: id })).user).toMatchObject({
      userId: id,
      email: "",
      displayName: "",
      status: UserStatus.DELETED,
    });
  });

  test("asked for again, by whomever and however many at once, is the same one", async () => {
    await using user = await startUser();
    const me = await user.signUp();
    const ask = async (by = operator): Promise<Erasure | undefined> =>
      (await user.as(by).deleteUser({ userId: me.id })).erasure;
    const receipts = await Promise.all(Array.from({ length: 8 }, (_, n) => ask(n % 2 === 0 ? operator : me)));
    const ids = new Set([...receipts, await ask(me)].map((receipt) => receipt?.erasureId));
    expect([
      ids.size,
      (await user.events()).filter((event) => isMessage(event, UserStatusChangedSchema)).length,
    ]).toEqual([1, 1]);
  });

  test("can be followed by nobody who does not know its id", async () => {
    await using user = await startUser();
    const { id } = await user.signUp();
    await user.as(operator).deleteUser({ userId: id });
    for (const erasureId of [id, "x", "a".repeat(32)]) {
      expect(await outcomeOf(user.as(anonymous).getErasure({ erasureId }))).toBe("NotFound ERASURE_NOT_FOUND");
    }
    expect(await outcomeOf(user.as(anonymous).getErasure({ erasureId: "" }))).toStartWith("InvalidArgument ");
  });

  test("is final: nothing changes a deleted person, and who signed up late stays deleted", async () => {
    await using user = await startUser();
    const person = user.auth.newcomer();
    const created = user.auth.created(person);
    await user.deliver(created);
    const id = person.personId;
    await user.as(operator).deleteUser({ userId: id });
    const [client, own] = [user.as(operator), user.as(personOf(id))];
    const calls = [
      () => client.updateUser({ user: { userId: id, displayName: "X" } }),
      () => client.assignRole({ userId: id, assignment: { role: 4 } }),
      () => client.setMembership({ userId: id, membership: { plan: "x" } }),
      () => client.suspendUser({ userId: id, reason: "x" }),
      () => client.reactivateUser({ userId: id }),
      () => own.getPreferences({ userId: "me" }),
      () => own.updatePreferences({ userId: "me", preferences: { values: { "a.b": "c" } } }),
      () => own.exportUserData({ userId: "me" }),
    ];
    const outcomes: string[] = [];
    for (const call of calls) outcomes.push(await outcomeOf(call()));
    expect(outcomes).toEqual(calls.map(() => "FailedPrecondition USER_DELETED"));
    await user.deliver(created);
    await user.deliver(user.auth.created(person, { version: 2n, email: "late@example.org" }));
    expect((await user.as(operator).getUser({ userId: id })).user).toMatchObject({
      email: "",
      status: UserStatus.DELETED,
    });
  });

  test("destroys no key before the last service has confirmed", async () => {
    expect(await destroysEarly()).toBe(false);
  });

  test("mutant: one that does not wait for the last service is noticed", async () => {
    const mutant = await importMutant<{ user: ServiceInfo }>(
      join(import.meta.dir, "store-postgres.ts"),
      "c.erasure_id = erasures.erasure_id AND confirm_time IS NULL)",
      "false)",
      [join(import.meta.dir, "../definition.ts")],
    );
    expect(await destroysEarly(mutant.user)).toBe(true);
  });

  test("mutant: who is brought back by a late UserCreated is noticed", async () => {
    const mutant = await importMutant<{ user: ServiceInfo }>(
      join(import.meta.dir, "../person/rules.ts"),
      'before === undefined || before.status === "DELETED"',
      "before === undefined",
      [join(import.meta.dir, "../definition.ts")],
    );
    await using careless = await startUser({ from: mutant.user });
    const person = careless.auth.newcomer();
    await careless.deliver(careless.auth.created(person));
    await careless.as(operator).deleteUser({ userId: person.personId });
    const late = careless.auth.created(person, { version: 2n });
    expect(
      await careless.deliver(late).then(
        () => "nothing",
        () => "refused",
      ),
    ).toBe("refused");
  });

  test("goes on when auth is there again", async () => {
    await using user = await startUser();
    const { id } = await user.signUp();
    const { erasure } = await user.as(operator).deleteUser({ userId: id });
    for (const service of ["auth", "branch-owner"]) await user.erased(id, service);
    user.auth.away = true;
    await withSweeper(user, async () => {
      expect(await stateOf(user, erasure?.erasureId)).toEqual(["DESTROYING_KEY", "auth", "branch-owner"]);
      user.auth.away = false;
      await eventually(async () =>
        expect(await stateOf(user, erasure?.erasureId)).toEqual(["DONE", "auth", "branch-owner"]),
      );
    });
  });
});

describe("a copy of one's data", () => {
  test("holds what every service holds, or there is none", async () => {
    await using user = await startUser();
    const id = await talkative(user);
    const me = user.as(personOf(id));
    expect(await me.exportUserData({ userId: "me" })).toMatchObject({
      user: { userId: id, email: "secret@example.org", suspendReason: "secret", membership: { plan: "secret" } },
      preferences: { values: { "a.b": "secret" } },
      dataByService: { auth: { email: `${id}@auth.test` }, "branch-owner": { displayName: `staff ${id}` } },
    });
    user.auth.away = true;
    expect(await outcomeOf(me.exportUserData({ userId: "me" }))).toBe("Unavailable COPY_UNAVAILABLE");
  });
});

const rebuild = async (on: UserFixture): Promise<void> => {
  for (const part of on.parts) if (part.part === "rebuilder") await part.rebuild();
};

/** What a consumer makes of events: the newest of each family of each person. */
const copyOf = async (on: UserFixture, from: number): Promise<Record<string, string>> => {
  const copy: Record<string, string> = {};
  for (const event of (await on.events()).slice(from)) {
    if (isMessage(event, UserUpdatedSchema)) {
      const { roleAssignments, membership, aggregateVersion, time } = event;
      const state = [roleAssignments.map(({ role }) => role), membership?.plan, time?.seconds, time?.nanos];
      copy[`${event.userId} state`] = `${aggregateVersion} ${state.join(" ")}`;
    } else if (isMessage(event, UserStatusChangedSchema)) {
      copy[`${event.userId} status`] =
        `${event.aggregateVersion} ${event.status} ${event.time?.seconds} ${event.time?.nanos}`;
    }
  }
  return copy;
};

describe("announcing again", () => {
  test("gives who begins with nothing the same copy as who followed from the start", async () => {
    await using user = await startUser();
    const people: string[] = [];
    for (let n = 0; n < 6; n++) people.push((await user.signUp()).id);
    const [a = "", b = "", c = "", d = ""] = people;
    const client = user.as(operator);
    await client.assignRole({ userId: a, assignment: { role: 2 } });
    await client.setMembership({ userId: b, membership: { plan: "gold" } });
    await client.suspendUser({ userId: b, reason: "x" });
    await client.suspendUser({ userId: c, reason: "x" });
    await client.reactivateUser({ userId: c });
    await client.deleteUser({ userId: d });
    const followed = await copyOf(user, 0);
    const before = (await user.events()).length;
    expect(await user.republish("identity.user")).toBe(6);
    const { [`${d} state`]: _, ...others } = followed; // Nothing is left to say of who is deleted but that.
    expect(await copyOf(user, before)).toEqual(others);
  });

  test("of who missed events asks auth for everybody, and every service for what it has erased", async () => {
    await using user = await startUser();
    const [erasing, done] = [(await user.signUp()).id, (await user.signUp()).id];
    for (const userId of [erasing, done]) await user.as(operator).deleteUser({ userId });
    for (const service of ["auth", "branch-owner"]) await user.erased(done, service);
    const followed = await copyOf(user, 0);
    const before = (await user.events()).length;
    await rebuild(user);
    expect(await copyOf(user, before)).toEqual({ [`${erasing} status`]: followed[`${erasing} status`] ?? "" });
  });
});
