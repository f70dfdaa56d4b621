import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { outcomeOf, startUser, type UserFixture } from "../user-fixture.ts";

let user: UserFixture;
beforeAll(async () => {
  user = await startUser();
});
afterAll(() => user[Symbol.asyncDispose]());

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
