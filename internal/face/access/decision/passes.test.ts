import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { Decision, EntryKind } from "../../../gen/muin/face/v1/entry_pb.ts";
import { UserStatus } from "../../../gen/muin/identity/v1/user_pb.ts";
import { systemRandom } from "../../../platform/clock/random.ts";
import type { EntryPass, EntryPassRefusal } from "../../../platform/identity/entry-pass.ts";
import { eventually } from "../../../platform/testing/eventually.ts";
import { sharedRedis } from "../../../platform/testing/redis.ts";
import { newNonce, reasonOf, startAccess, type AccessFixture } from "../access-fixture.ts";

setDefaultTimeout(30_000);

/** What the passes of the tests are; others are none. */
const passes = new Map<string, EntryPass | EntryPassRefusal>();
const entryPasses = { verify: (pass: string) => Promise.resolve(passes.get(pass) ?? "invalid") };

let service: AccessFixture;
let other: AccessFixture;
beforeAll(async () => {
  const { url } = await sharedRedis();
  service = await startAccess(url, { entryPasses });
  other = await startAccess(url, { entryPasses });
});
afterAll(async () => {
  await other[Symbol.asyncDispose]();
  await service[Symbol.asyncDispose]();
});

function newPass(branchId: string, memberId: string): string {
  const pass = systemRandom.uuid();
  passes.set(pass, { passId: systemRandom.uuid(), memberId, branchId, expireMs: Date.now() + 60_000 });
  return pass;
}

describe("a pass", () => {
  test("lets its holder in by the rules of the branch, and says who they are", async () => {
    const branchId = await service.newBranch();
    const { id } = await service.newMember(branchId);
    const decided = await service.redeem(service.newDevice(branchId), { pass: newPass(branchId, id) });
    expect(decided).toMatchObject({ decision: Decision.GRANTED, memberId: id });
    const entry = await eventually(() => service.entry(decided.entryId));
    expect(entry).toMatchObject({ kind: EntryKind.PASS, memberId: id, modelId: "", searchMicros: 0n });
    await service.statusChanged(id, UserStatus.SUSPENDED, 1n);
    const suspended = service.redeem(service.newDevice(branchId), { pass: newPass(branchId, id) });
    expect(await reasonOf(suspended)).toBe("NOT_ACTIVE");
  });

  test("opens once, whichever processes it comes to at once; a repeat gets the first decision", async () => {
    const branchId = await service.newBranch();
    const { id } = await service.newMember(branchId);
    const device = service.newDevice(branchId);
    const pass = newPass(branchId, id);
    const asked = { pass, nonce: newNonce(), capturedAtMs: Date.now() };
    const outcomes = await Promise.all([
      ...Array.from({ length: 4 }, (_, n) => reasonOf((n % 2 === 0 ? service : other).redeem(device, { pass }))),
      reasonOf(service.redeem(device, asked)),
    ]);
    expect(outcomes.filter((reason) => reason === "ADMITTED")).toHaveLength(1);
    expect(outcomes.filter((reason) => reason === "PASS_INVALID")).toHaveLength(4);
    expect(await reasonOf(other.redeem(device, asked))).toBe(outcomes[4] ?? "");
  });

  test("that finds no room is not used up", async () => {
    const branchId = await service.newBranch({ entryRules: { capacityMax: 1 } });
    const [ann, ben] = [await service.newMember(branchId), await service.newMember(branchId)];
    const device = service.newDevice(branchId);
    expect(await reasonOf(service.redeem(device, { pass: newPass(branchId, ann.id) }))).toBe("ADMITTED");
    const pass = newPass(branchId, ben.id);
    expect(await reasonOf(service.redeem(device, { pass }))).toBe("FULL");
    await service.exit(device, branchId, ann.id);
    expect(await reasonOf(service.redeem(device, { pass }))).toBe("ADMITTED");
  });

  test("of another branch, one that has ended or was revoked, and what is none, look alike", async () => {
    const branchId = await service.newBranch();
    const { id } = await service.newMember(branchId);
    const device = service.newDevice(branchId);
    passes.set("expired", "expired").set("revoked", "revoked");
    for (const pass of ["none", "expired", "revoked", newPass(await service.newBranch(), id)]) {
      expect(await service.redeem(device, { pass })).toMatchObject({ decision: Decision.DENIED, memberId: "" });
    }
    passes.set("unknown", "unavailable");
    expect(await reasonOf(service.redeem(device, { pass: "unknown" }))).toBe("ENTRY_PASS_UNAVAILABLE");
  });

  test("cannot be guessed: the device is locked out", async () => {
    const device = service.newDevice(await service.newBranch());
    const reasons: string[] = [];
    for (let n = 0; n < 31; n += 1) reasons.push(await reasonOf(service.redeem(device, { pass: `guess ${n}` })));
    expect(reasons.slice(-2)).toEqual(["PASS_INVALID", "DEVICE_LOCKED_OUT"]);
  });
});
