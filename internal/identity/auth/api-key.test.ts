import { describe, expect, test } from "bun:test";
import { ApiKeyService, outcomeOf, service, startAuth } from "./auth-fixture.ts";
import { secretHashOf } from "./api-key.ts";
import { scopes } from "./role.ts";

const operator = { kind: "api_key", id: "k", principal: "api_key:k", scopes: new Set<string>(scopes) } as const;

describe("API keys", () => {
  test("create, verify, list, revoke", async () => {
    await using auth = await startAuth();
    const client = auth.as(ApiKeyService, { caller: operator });
    const { apiKey, secret } = await client.createApiKey({
      displayName: "demo",
      scopes: ["counts.read", "counts.write"],
    });
    const services = auth.as(ApiKeyService, { caller: service });
    const verified = await services.verifyApiKey({ secretHash: secretHashOf(secret) });
    expect(verified.apiKey?.scopes).toEqual(["counts.read", "counts.write"]);
    expect((await client.listApiKeys({})).apiKeys.map((key) => key.apiKeyId)).toEqual([apiKey!.apiKeyId]);
    await client.revokeApiKey({ apiKeyId: apiKey!.apiKeyId });
    expect(await outcomeOf(services.verifyApiKey({ secretHash: secretHashOf(secret) }))).toBe(
      "Unauthenticated BAD_API_KEY",
    );
    console.log(await auth.events());
  });
});
