import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { AuthService } from "../../internal/gen/muin/identity/v1/auth_service_pb.ts";
import { BranchService } from "../../internal/gen/muin/identity/v1/branch_service_pb.ts";
import { OwnerService } from "../../internal/gen/muin/identity/v1/owner_service_pb.ts";
import { eventually } from "../../internal/platform/testing/eventually.ts";
import { startMuin, type TestMuin } from "../../internal/platform/testing/muin.ts";

setDefaultTimeout(60_000);

let muin: TestMuin;
beforeAll(async () => {
  muin = await startMuin();
});
afterAll(() => muin[Symbol.asyncDispose]());

test("who has signed up is made an owner and creates a branch", async () => {
  const account = { email: "owner@example.com", password: "a long enough secret", displayName: "Kim" };
  const { userId, tokens } = await muin.client(AuthService).signUp(account);
  const owner = await eventually(() =>
    muin.client(OwnerService).registerOwner({ owner: { userId, companyName: "Gym" } }),
  );
  expect(owner.owner).toMatchObject({ userId, companyName: "Gym", displayName: "Kim" });
  const branches = muin.client(BranchService, tokens?.accessToken ?? "");
  const { branch } = await branches.createBranch({ branch: { displayName: "Gangnam", timeZone: "Asia/Seoul" } });
  expect(branch).toMatchObject({ ownerId: userId, displayName: "Gangnam", etag: "v1" });
  const branchId = branch?.branchId ?? "";
  expect((await branches.getBranch({ branchId })).branch).toEqual(branch);
  const response = await fetch(`${muin.http}/api/v1/branches/${branchId}:openState`, {
    headers: { authorization: `Bearer ${tokens?.accessToken}` },
  });
  expect(await response.json()).toMatchObject({ open: true });
});
