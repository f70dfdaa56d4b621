import { isMessage } from "@bufbuild/protobuf";
import { expect, test } from "bun:test";
import { UserStatusChangedSchema } from "../../../gen/muin/identity/v1/user_events_pb.ts";
import { partsOf } from "../../../platform/service/parts.ts";
import { eventually } from "../../../platform/testing/eventually.ts";
import { newsOf, outcomeOf, operator, startMutant, startUser, type UserFixture } from "../user-fixture.ts";

/** Looks for lapsed accounts as long as `until` fails. */
async function look(on: UserFixture, until: () => Promise<void>): Promise<void> {
  const found = partsOf(on.parts, "background").find(({ component }) => component.name === "user lapsed accounts");
  await found?.component.start();
  await eventually(until);
  await found?.component.stop();
}

/** What comes of a person whose account lapsed, of one who is deleted already, and of one whom only auth knows. */
async function deleted(on: UserFixture): Promise<unknown> {
  const [ada, bob, carol] = [
    await on.signUp(),
    await on.signUp({ email: "b@c.d" }),
    await on.signUp({ email: "c@d.e" }),
  ];
  await on.as(operator).deleteUser({ userId: bob.id });
  on.auth.lapsed.push(bob.id, "0199c5f2-6f0c-7aa0-8d6e-0a4f3a6b1c55", ada.id);
  await look(on, async () => {
    expect((await newsOf(on, ada.id)).length).toBe(2);
  });
  const principals = (await on.events()).flatMap((event) =>
    isMessage(event, UserStatusChangedSchema) && event.userId === ada.id ? [event.principal] : [],
  );
  return {
    ada: await newsOf(on, ada.id),
    bob: await newsOf(on, bob.id),
    carol: await newsOf(on, carol.id),
    principals,
    gone: await outcomeOf(on.as(operator).suspendUser({ userId: ada.id, reason: "x" })),
  };
}

const right = {
  ada: ["1", "DELETED 2"],
  bob: ["1", "DELETED 2"],
  carol: ["1"],
  principals: ["service:user"],
  gone: "FailedPrecondition USER_DELETED",
};

test("who proved no address in time is deleted as if they had asked for it, and nobody else is", async () => {
  await using user = await startUser();
  expect(await deleted(user)).toEqual(right);
});

test("mutant: one whom user does not know ends the look", async () => {
  await using user = await startMutant(
    "erasure/lapses.ts",
    "if (isRefusal(erasure))",
    "if (isRefusal(erasure)) return;\n          if (isRefusal(erasure))",
  );
  expect(await deleted(user).catch(() => "nothing")).not.toEqual(right);
});
