import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { BranchSchema, BranchState, StaffMemberSchema } from "../../../gen/muin/identity/v1/branch_pb.ts";
import { MembershipSchema } from "../../../gen/muin/identity/v1/user_pb.ts";
import { systemRandom } from "../../../platform/clock/random.ts";
import { openRedis, type OpenRedis } from "../../../platform/redis/open-redis.ts";
import { caught, importMutant } from "../../../platform/testing/mutant.ts";
import { sharedRedis } from "../../../platform/testing/redis.ts";
import * as real from "./store-redis.ts";
import type { CopyStore } from "./store.ts";

type Module = Pick<typeof real, "createRedisCopies">;

let redis: OpenRedis;
beforeAll(async () => {
  redis = openRedis({ url: (await sharedRedis()).url, name: "test" });
  await redis.start();
});
afterAll(() => redis.stop());

const open = ({ createRedisCopies }: Module = real): CopyStore => createRedisCopies(redis);
const gold = create(MembershipSchema, { plan: "gold", paused: true });
const silver = create(MembershipSchema, { plan: "silver" });
const at = (epoch: number, version: bigint) => ({ epoch, version });

async function lastChange(): Promise<readonly string[] | undefined> {
  return (await redis.client.xrevrange("{face}:d:changes", "+", "-", "COUNT", 1))[0]?.[1];
}

async function checkPerson(module?: Module): Promise<void> {
  const copies = open(module);
  const id = systemRandom.uuid();
  expect(await copies.member(id)).toBeUndefined();
  await copies.changeMembership(id, gold, at(0, 2n));
  expect(await copies.member(id)).toEqual({ status: "ACTIVE", membership: gold });
  await copies.changeStatus(id, "SUSPENDED", at(0, 1n));
  await copies.changeMembership(id, silver, at(0, 2n));
  expect(await copies.member(id)).toEqual({ status: "SUSPENDED", membership: gold });
  // A restore raised the epoch: its versions count, however low.
  await copies.changeMembership(id, silver, at(1, 1n));
  await copies.changeMembership(id, gold, at(0, 9n));
  await copies.changeStatus(id, "ACTIVE", at(0, 1n));
  expect(await copies.member(id)).toEqual({ status: "SUSPENDED", membership: silver });
  await copies.changeMembership(id, undefined, at(1, 2n));
  await copies.changeStatus(id, "ACTIVE", at(0, 2n));
  expect(await copies.member(id)).toEqual({ status: "ACTIVE", membership: undefined });
  // One that says nothing is one.
  await copies.changeMembership(id, create(MembershipSchema), at(1, 3n));
  expect(await copies.member(id)).toEqual({ status: "ACTIVE", membership: create(MembershipSchema) });
}

async function checkErased(module?: Module): Promise<void> {
  const copies = open(module);
  const id = systemRandom.uuid();
  await copies.changeMembership(id, gold, at(0, 1n));
  await copies.erase(id);
  await copies.changeMembership(id, gold, at(5, 5n));
  await copies.changeStatus(id, "ACTIVE", at(5, 5n));
  expect(await copies.member(id)).toEqual({ status: "DELETED", membership: undefined });
}

async function checkBranch(module?: Module): Promise<void> {
  const copies = open(module);
  const branchId = systemRandom.uuid();
  const branch = create(BranchSchema, {
    branchId,
    ownerId: "owner",
    timeZone: "Asia/Seoul",
    state: BranchState.ACTIVE,
    entryRules: { capacityMax: 3 },
    openingHours: { weekly: [] },
  });
  const staff = [create(StaffMemberSchema, { userId: "ann", role: 1 })];
  expect(await copies.branch(branchId)).toBeUndefined();
  await copies.changeBranch(
    { branch: { ...branch, displayName: "Gangnam", facilities: ["shower"] }, staff },
    at(0, 2n),
  );
  // What doors do not need is not kept.
  for (let reads = 0; reads < 2; reads += 1) expect(await copies.branch(branchId)).toEqual({ branch, staff });
  await copies.changeBranch({ branch: create(BranchSchema, { branchId }), staff: [] }, at(0, 1n));
  expect(await copies.branch(branchId)).toEqual({ branch, staff });
  await open().changeBranch({ branch: create(BranchSchema, { branchId }), staff: [] }, at(1, 1n));
  expect(await copies.branch(branchId)).toEqual({ branch: create(BranchSchema, { branchId }), staff: [] });
}

describe("copies in Redis", () => {
  test("follow a person's news by their versions, in whichever order they come", () => checkPerson());
  test("keep of who is deleted nothing but that, whatever comes", () => checkErased());
  test("follow a branch", () => checkBranch());

  test("tell whose they are when they change, and nothing else", async () => {
    const copies = open();
    const id = systemRandom.uuid();
    await copies.changeMembership(id, gold, at(0, 1n));
    expect(await lastChange()).toEqual(["kind", "member", "id", id]);
    await copies.changeBranch({ branch: create(BranchSchema, { branchId: id }), staff: [] }, at(0, 1n));
    expect(await lastChange()).toEqual(["kind", "branch", "id", id]);
    await copies.changeMembership(id, silver, at(0, 1n));
    expect(await lastChange()).toEqual(["kind", "branch", "id", id]);
  });
});

describe("a mutant is caught", () => {
  const path = join(import.meta.dir, "store-redis.ts");
  test.each([
    ["passes over epochs", "if epoch ~= than_epoch then return epoch > than_epoch end", "", checkPerson],
    ["takes old versions", "return version > than_version", "return true", checkPerson],
    ["lets who is deleted come back", "if status == 'DELETED' then return end", "", checkErased],
    ["takes an old branch", "if kept[1] and not is_newer", "if false and not is_newer", checkBranch],
    ["does not see that a branch changed", "if (known?.version === version)", "if (known !== undefined)", checkBranch],
  ] as const)("that %s", async (_, from, to, check) => {
    const mutant = await importMutant<Module>(path, from, to);
    await caught(() => check(mutant));
  });
});
