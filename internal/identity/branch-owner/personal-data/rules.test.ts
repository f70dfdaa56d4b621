import { expect, test } from "bun:test";
import { partsOf } from "../../../platform/service/parts.ts";
import { administrator, personOf, startBranchOwner } from "../branch-owner-fixture.ts";

const { signal } = new AbortController();

test("a copy holds what a person is, owns and works for; what was erased is not copied any more", async () => {
  await using service = await startBranchOwner();
  const held = partsOf(service.parts, "personalData")[0]!;
  const owner = await service.newOwner("Kim");
  const branch = await service.newBranch(owner);
  expect(await held.exportOf(owner.id, signal)).toMatchObject({
    displayName: "Kim",
    owner: { companyName: "Muscle & Co." },
    branchIds: [branch.branchId],
    memberships: [],
  });
  for (const id of [owner.id, owner.id, "nobody"]) {
    await service.database.transaction((tx) => held.erase(tx, id));
    expect(await held.exportOf(id, signal)).toBeUndefined();
  }
  const { branch: left } = await service.branches(administrator).getBranch({ branchId: branch.branchId });
  expect(left?.branchId).toBe(branch.branchId);
  expect(await held.exportOf(personOf("stranger").id, signal)).toBeUndefined();
});
