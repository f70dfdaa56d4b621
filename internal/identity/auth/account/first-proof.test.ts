import { expect, test } from "bun:test";
import { ApiKeyService } from "../../../gen/muin/identity/v1/api_key_service_pb.ts";
import { AuthService } from "../../../gen/muin/identity/v1/auth_service_pb.ts";
import { BranchCreatedSchema } from "../../../gen/muin/identity/v1/branch_events_pb.ts";
import { CredentialService } from "../../../gen/muin/identity/v1/credential_service_pb.ts";
import { DeviceService } from "../../../gen/muin/identity/v1/device_service_pb.ts";
import type { ServiceInfo } from "../../../platform/service/define-service.ts";
import { secretHashOf } from "../api-key/secret.ts";
import { mutantOf, outcomeOf, personOfToken, service, startAuth } from "../auth-fixture.ts";
import { auth as real } from "../definition.ts";

const ada = { email: "ada@example.org", password: "correct horse battery" };

/** What stands of a second factor, a key and a device that were set before a reset, by an account whose address was proven before or was not. */
async function standsAfterReset(definition: ServiceInfo, isProven = false): Promise<unknown> {
  await using auth = await startAuth({ definition });
  const { userId, tokens } = await auth.signUp(ada);
  const { sql } = auth.database;
  await sql`INSERT INTO scope_grants VALUES (${userId}, 'counts.read', now())`;
  const branch = { branchId: "b1", ownerId: userId };
  await auth.deliver(BranchCreatedSchema, { branchId: "b1", branch, aggregateVersion: 1n });
  const caller = { ...personOfToken(tokens.accessToken), scopes: new Set(["keys.manage", "counts.read"]) };
  const { secret } = await auth
    .as(ApiKeyService, { caller })
    .createApiKey({ displayName: "k", scopes: ["counts.read"] });
  const devices = auth.as(DeviceService, { caller });
  await devices.registerDevice({ branchIds: ["b1"] });
  await sql`INSERT INTO totp_factors VALUES (${userId}, '', now(), now(), 0)`;
  if (!isProven) await sql`UPDATE accounts SET email_verify_time = NULL`;
  const credentials = auth.as(CredentialService);
  await credentials.requestPasswordReset({ email: ada.email });
  const token = (await auth.mails()).at(-1)?.token ?? "";
  await credentials.resetPassword({ token, newPassword: "another horse" });
  const { challenge } = await auth.as(AuthService).signIn({ ...ada, password: "another horse" });
  const keys = auth.as(ApiKeyService, { caller: service });
  const told = (await auth.events()).map((event) => event.$typeName.replace("muin.identity.v1.", ""));
  return {
    factor: challenge !== "",
    key: await outcomeOf(keys.verifyApiKey({ secretHash: secretHashOf(secret) })),
    devices: (await devices.listDevices({})).devices.length,
    told: told.filter((name) => name.endsWith("Revoked") && name !== "SessionRevoked"),
  };
}

const gone = {
  factor: false,
  key: "Unauthenticated API_KEY_INVALID",
  devices: 0,
  told: ["ApiKeyRevoked", "DeviceRevoked"],
};

test("ends second factor, keys and devices of an account from before; a later one leaves them", async () => {
  expect(await standsAfterReset(real)).toEqual(gone);
  expect(await standsAfterReset(real, true)).toEqual({ factor: true, key: "done", devices: 1, told: [] });
});

test.each([
  ["the second factor", "await deps.factors.remove(tx, userId);"],
  ["keys", "await endApiKeysOf(tx, { ...deps, store: deps.apiKeys }, userId, client);"],
  ["devices", "await endDevicesOf(tx, { ...deps, store: deps.devices }, userId, client);"],
])("mutant: %s that were set before stay", async (_, from) => {
  expect(await standsAfterReset(await mutantOf("account/recovery.ts", from, ""))).not.toEqual(gone);
});
