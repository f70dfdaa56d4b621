import { expect, setDefaultTimeout, test } from "bun:test";
import { UserStatus } from "../../../gen/muin/identity/v1/user_pb.ts";
import { eventually } from "../../../platform/testing/eventually.ts";
import { partsOf } from "../../../platform/service/parts.ts";
import { sharedRedis } from "../../../platform/testing/redis.ts";
import { reader, reasonOf, seenAgain, startAccess } from "../access-fixture.ts";

setDefaultTimeout(30_000);
const { signal } = new AbortController();

test("a copy holds a person's membership and entries; erased, nothing of them is left", async () => {
  await using service = await startAccess((await sharedRedis()).url);
  const held = partsOf(service.parts, "personalData")[0]!;
  const branchId = await service.newBranch({ entryRules: { capacityMax: 1 } });
  const [ann, ben] = [await service.newMember(branchId), await service.newMember(branchId)];
  const device = service.newDevice(branchId);
  const { entryId } = await service.identify(device, { embedding: seenAgain(ann.embedding) });
  await eventually(() => service.entry(entryId));
  expect(await held.exportOf(ann.id, signal)).toMatchObject({
    membership: { plan: "standard" },
    entries: [{ entryId, memberId: ann.id, branchId, decision: "DECISION_GRANTED" }],
  });
  expect(await held.exportOf("nobody", signal)).toBeUndefined();

  await service.statusChanged(ann.id, UserStatus.DELETED, 1n);
  await service.statusChanged(ann.id, UserStatus.DELETED, 1n);
  expect(await held.exportOf(ann.id, signal)).toBeUndefined();
  const { memberId } = await service.entry(entryId);
  expect(memberId).toMatch(/^erased-[0-9a-f]{32}$/);
  expect((await service.entries(reader).listEntries({ filter: { memberId } })).entries.length).toBe(1);
  // Not inside any more, and no door opens.
  expect(await reasonOf(service.identify(device, { embedding: seenAgain(ben.embedding) }))).toBe("ADMITTED");
  expect(await reasonOf(service.identify(device, { embedding: seenAgain(ann.embedding) }))).toBe("NOT_ACTIVE");
  const told = (await service.events()).filter(({ $typeName }) => $typeName === "muin.identity.v1.UserDataErased");
  expect(told).toMatchObject([{ userId: ann.id, service: "access" }, { userId: ann.id }]);

  const traced: string[] = [];
  for (const key of await service.redis.client.keys("{face}:d:*")) {
    if (key === "{face}:d:changes" || key === `{face}:d:member:${ann.id}`) continue;
    if (key.includes(ann.id) || (await service.redis.client.dumpBuffer(key)).includes(ann.id)) traced.push(key);
  }
  expect(traced).toEqual([]);
});
