import { expect, test } from "bun:test";
import { ApiKeyService } from "../../../gen/muin/identity/v1/api_key_service_pb.ts";
import { BranchCreatedSchema } from "../../../gen/muin/identity/v1/branch_events_pb.ts";
import { CredentialService } from "../../../gen/muin/identity/v1/credential_service_pb.ts";
import { DeviceService } from "../../../gen/muin/identity/v1/device_service_pb.ts";
import type { ServiceInfo } from "../../../platform/service/define-service.ts";
import { mutantOf, outcomeOf, personOfToken, startAuth } from "../auth-fixture.ts";
import { auth as real } from "../definition.ts";

const ada = { email: "ada@example.org", password: "correct horse battery" };
const refused = "FailedPrecondition EMAIL_NOT_VERIFIED";

/** What somebody gets who wants what outlasts a proof of their address, once with an account from before that was asked for. */
async function made(definition: ServiceInfo, isProven: boolean): Promise<Record<string, string>> {
  await using auth = await startAuth({ definition });
  const { userId, tokens } = await auth.signUp(ada);
  await auth.database.sql`INSERT INTO scope_grants VALUES (${userId}, 'counts.read', now())`;
  if (!isProven) await auth.database.sql`UPDATE accounts SET email_verify_time = NULL`;
  await auth.deliver(BranchCreatedSchema, {
    branchId: "b1",
    branch: { branchId: "b1", ownerId: userId },
    aggregateVersion: 1n,
  });
  const caller = { ...personOfToken(tokens.accessToken), scopes: new Set(["keys.manage", "counts.read"]) };
  const mine = auth.as(CredentialService, { caller });
  return {
    begun: await outcomeOf(mine.beginTotp({ currentPassword: ada.password })),
    confirmed: await outcomeOf(mine.confirmTotp({ code: "123456" })),
    key: await outcomeOf(
      auth.as(ApiKeyService, { caller }).createApiKey({ displayName: "k", scopes: ["counts.read"] }),
    ),
    device: await outcomeOf(auth.as(DeviceService, { caller }).registerDevice({ branchIds: ["b1"] })),
  };
}

test("before an address is proven there is no second factor, key or device", async () => {
  expect(await made(real, false)).toEqual({ begun: refused, confirmed: refused, key: refused, device: refused });
  expect(await made(real, true)).toEqual({
    begun: "done",
    confirmed: "PermissionDenied SECOND_FACTOR_CODE_INVALID",
    key: "done",
    device: "done",
  });
});

test.each([
  ["begun", "factor/rules.ts", 'if (!isEmailVerified) return refuse("emailNotVerified");', ""],
  ["confirmed", "factor/rules.ts", 'if (locked?.isEmailVerified === false) return refuse("emailNotVerified");', ""],
  ["key", "api-key/rules.ts", 'owner.isEmailVerified ? ownerId : refuse("emailNotVerified")', "ownerId"],
  ["device", "device/rules.ts", "(await unprovenRefusal(deps.accounts, tx, client)) ??", ""],
])("mutant: %s all the same", async (what, file, from, to) => {
  expect((await made(await mutantOf(file, from, to), false))[what]).not.toBe(refused);
});
