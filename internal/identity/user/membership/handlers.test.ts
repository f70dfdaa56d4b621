import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { MembershipSchema, type Membership } from "../../../gen/muin/identity/v1/user_pb.ts";
import type { User } from "../../../gen/muin/identity/v1/user_service_pb.ts";
import { newsOf, operator, outcomeOf, startUser, type UserFixture } from "../user-fixture.ts";

let user: UserFixture;
beforeAll(async () => {
  user = await startUser();
});
afterAll(() => user[Symbol.asyncDispose]());

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
