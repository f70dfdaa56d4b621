import { create } from "@bufbuild/protobuf";
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { MembershipSchema, Role, UserStatus } from "../../../gen/muin/identity/v1/user_pb.ts";
import { UserSchema, type User } from "../../../gen/muin/identity/v1/user_service_pb.ts";
import { outcomeOf, startMutant, startUser, type UserFixture } from "../user-fixture.ts";

let user: UserFixture;
beforeAll(async () => {
  user = await startUser();
});
afterAll(() => user[Symbol.asyncDispose]());

type Fields = Partial<Omit<User, "$typeName" | "$unknown">>;

/** What an update of one's own profile came to. */
const update = async (fields: Fields, paths?: readonly string[]): Promise<string | User | undefined> => {
  const me = await user.signUp();
  const client = user.as(me);
  const updateMask = paths === undefined ? {} : { updateMask: { paths: [...paths] } };
  const outcome = await outcomeOf(
    client.updateUser({ user: create(UserSchema, { userId: "me", ...fields }), ...updateMask }),
  );
  return outcome === "done" ? (await client.getUser({ userId: "me" })).user : outcome;
};

/** How many of twenty updates that were acknowledged, each of what it had read, are not there in the end. */
const lostUpdates = async (on: UserFixture): Promise<number> => {
  const me = on.as(await on.signUp());
  const write = async (n: number): Promise<boolean> => {
    const { user: seen } = await me.getUser({ userId: "me" });
    const count = Number(seen?.displayName.replace("Ada", "0"));
    const change = { userId: "me", displayName: `${count + n}`, etag: seen?.etag ?? "" };
    const outcome = await outcomeOf(me.updateUser({ user: change }));
    if (outcome !== "done") expect(outcome).toBe("Aborted ETAG_MISMATCH");
    return outcome === "done";
  };
  const done = (await Promise.all(Array.from({ length: 20 }, () => write(1)))).filter((each) => each).length;
  const { user: seen } = await me.getUser({ userId: "me" });
  return done - Number(seen?.displayName);
};

describe("one's own profile", () => {
  test("takes a name, a locale, a time zone, a telephone number and a picture", async () => {
    const given = {
      displayName: "Ada 👩‍💻 <b>\"';--",
      locale: "KO-kr",
      timeZone: "asia/seoul",
      phoneNumber: "+821012345678",
      pictureUri: "https://example.org/ada.png?size=1#x",
    };
    expect(await update(given)).toMatchObject({ ...given, locale: "ko-KR", timeZone: "Asia/Seoul", etag: "v2.1" });
    expect(await update({}, ["*"])).toMatchObject({ displayName: "", locale: "", etag: "v2.1" });
    expect(await update({ displayName: "X", locale: "de" }, ["locale"])).toMatchObject({
      displayName: "Ada",
      locale: "de",
    });
    expect(await update({})).toMatchObject({ displayName: "Ada", etag: "v1.1" });
  });

  test.each<[string, Fields]>([
    ["a locale of no language", { locale: "english" }],
    ["a locale with an underscore", { locale: "en_US" }],
    ["a locale of nobody", { locale: "xx" }],
    ["a huge locale", { locale: "en-".repeat(1000) }],
    ["a time zone on Mars", { timeZone: "Mars/Phobos" }],
    ["an offset as time zone", { timeZone: "+09:00" }],
    ["a time zone with a path", { timeZone: "../etc/passwd" }],
    ["a telephone number without +", { phoneNumber: "01012345678" }],
    ["a telephone number with spaces", { phoneNumber: "+82 10 1234" }],
    ["a short telephone number", { phoneNumber: "+1" }],
    ["a picture over http", { pictureUri: "http://example.org/a.png" }],
    ["a picture as data", { pictureUri: "data:image/png;base64,AAAA" }],
    ["a picture as script", { pictureUri: "javascript:alert(1)" }],
    ["a picture with a password", { pictureUri: "https://ada:secret@example.org/a.png" }],
    ["a picture of no host", { pictureUri: "https://" }],
    ["a picture of which a browser alone makes an address", { pictureUri: "https:example.org/a.png" }],
    ["a picture with a backslash", { pictureUri: "https://example.org\\a.png" }],
    ["a picture with a line end", { pictureUri: "https://example.org/\na.png" }],
    ["a huge picture", { pictureUri: `https://example.org/${"a".repeat(3000)}` }],
    ["a name with a line end", { displayName: "Ada\nLovelace" }],
    ["a name with NUL", { displayName: "Ada\u0000" }],
    ["a huge name", { displayName: "a".repeat(129) }],
  ])("refuses %s", async (_, fields) => {
    expect(await update(fields)).toMatch(/^InvalidArgument /);
  });

  const forbidden = [
    "user_id",
    "email",
    "status",
    "suspend_reason",
    "role_assignments",
    "membership",
    "etag",
    "create_time",
    "status_version",
    "displayName",
    "membership.plan",
    "",
  ];
  const assigned: Fields = {
    displayName: "X",
    email: "root@example.org",
    status: UserStatus.SUSPENDED,
    roleAssignments: [{ $typeName: "muin.identity.v1.RoleAssignment", role: Role.ADMINISTRATOR, branchId: "" }],
    membership: create(MembershipSchema, { plan: "gold" }),
  };
  test.each(forbidden)("does not take %p through the mask", async (path) => {
    expect(await update(assigned, [path])).toBe("InvalidArgument FIELD_INVALID");
    expect(await update(assigned, ["display_name", path])).toBe("InvalidArgument FIELD_INVALID");
  });

  test("takes of all fields only its own, with and without a mask", async () => {
    for (const paths of [undefined, ["*"]]) {
      expect(await update(assigned, paths)).toMatchObject({
        displayName: "X",
        email: "ada@example.org",
        status: UserStatus.ACTIVE,
        roleAssignments: [{ role: Role.MEMBER }],
      });
      expect(((await update(assigned, paths)) as User).membership).toBeUndefined();
    }
  });

  test("mutant: one that takes roles from its mask is noticed", async () => {
    await using careless = await startMutant(
      "profile/rules.ts",
      '"picture_uri"] as const',
      '"picture_uri", "role_assignments"] as const',
    );
    const me = careless.as(await careless.signUp());
    expect(
      await outcomeOf(
        me.updateUser({ user: { userId: "me", ...assigned }, updateMask: { paths: ["role_assignments"] } }),
      ),
    ).toBe("done");
  });

  test("of an etag that is not the current one is not overwritten, however many come at once", async () => {
    expect(await lostUpdates(user)).toBe(0);
  });

  test("mutant: an etag that is not looked at is noticed", async () => {
    await using careless = await startMutant(
      "profile/rules.ts",
      "!isCurrent(user.etag, etagOfPerson(before))",
      "false",
    );
    expect(await lostUpdates(careless)).toBeGreaterThan(0);
  });

  test("keeps every one of many concurrent changes of different fields", async () => {
    const me = user.as(await user.signUp());
    const changes: Fields[] = [
      { displayName: "B" },
      { locale: "ko" },
      { timeZone: "UTC" },
      { phoneNumber: "+821012345678" },
      { pictureUri: "https://example.org/" },
    ];
    await Promise.all(changes.map((change) => me.updateUser({ user: { userId: "me", ...change } })));
    const { user: seen } = await me.getUser({ userId: "me" });
    expect(seen).toMatchObject({ ...Object.assign({}, ...changes), etag: "v6.1" } as User);
  });
});
