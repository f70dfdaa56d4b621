import { describe, expect, test } from "bun:test";
import { timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import { ApiKeyService } from "../../../gen/muin/identity/v1/api_key_service_pb.ts";
import type { ApiKeyRevoked } from "../../../gen/muin/identity/v1/session_events_pb.ts";
import type { Caller } from "../../../platform/identity/caller.ts";
import { secretHashOf } from "./secret.ts";
import { newAdministrator, outcomeOf, service, startAuth } from "../auth-fixture.ts";

const shop = { displayName: "Web shop", scopes: ["counts.read", "counts.write"] };
const badKey = "Unauthenticated API_KEY_INVALID";
const minuteMs = 60_000;

describe("API keys", () => {
  test("show their secret once and keep a hash of it", async () => {
    await using auth = await startAuth();
    const client = auth.as(ApiKeyService, { caller: await newAdministrator(auth) });
    const { apiKey, secret } = await client.createApiKey(shop);
    expect(secret).toMatch(/^muin_[A-Za-z0-9_-]{43}$/);
    expect(apiKey).toMatchObject(shop);
    const [row] = await auth.database.sql<{ text: string }[]>`SELECT k::text AS text FROM api_keys k`;
    expect(row?.text).not.toContain(secret);
    expect(row?.text).not.toContain(Buffer.from(secret).toString("hex"));
    const services = auth.as(ApiKeyService, { caller: service });
    const { apiKey: verified } = await services.verifyApiKey({ secretHash: secretHashOf(secret) });
    expect(verified).toMatchObject({ ...shop, apiKeyId: apiKey?.apiKeyId });
    expect(await outcomeOf(services.verifyApiKey({ secretHash: secretHashOf(`${secret}x`) }))).toBe(badKey);
    expect(await outcomeOf(services.verifyApiKey({ secretHash: new Uint8Array(31) }))).toStartWith("InvalidArgument");
  });

  test.each([
    ["a scope that its maker does not hold", { ...shop, scopes: ["counts.manage"] }, "PermissionDenied SCOPE_MISSING"],
    ["a scope that there is not", { ...shop, scopes: ["counts.all"] }, "InvalidArgument FIELD_INVALID"],
    ["no scope", { ...shop, scopes: [] }, "InvalidArgument FIELD_INVALID"],
    ["an end in the past", { ...shop, expireTime: timestampFromMs(1) }, "InvalidArgument FIELD_INVALID"],
    ["an end and none", { ...shop, expireTime: timestampFromMs(9e12), noEnd: true }, "InvalidArgument FIELD_INVALID"],
    ["a line end in its name", { ...shop, displayName: "a\nb" }, "InvalidArgument FIELD_INVALID"],
  ])("are not made with %s", async (_, request, outcome) => {
    await using auth = await startAuth();
    const caller: Caller = {
      ...(await newAdministrator(auth)),
      scopes: new Set(["keys.manage", "counts.read", "counts.write"]),
    };
    const client = auth.as(ApiKeyService, { caller });
    expect(await outcomeOf(client.createApiKey(request))).toBe(outcome);
    expect(await outcomeOf(client.createApiKey(shop))).toBe("done");
  });

  test("end when they are revoked, once, with an event, and when they expire", async () => {
    await using auth = await startAuth();
    const client = auth.as(ApiKeyService, { caller: await newAdministrator(auth) });
    const services = auth.as(ApiKeyService, { caller: service });
    const expireTime = timestampFromMs(auth.clock.now() + minuteMs);
    const lasting = await client.createApiKey(shop);
    const expiring = await client.createApiKey({ ...shop, expireTime });
    const verify = (secret: string): Promise<string> =>
      outcomeOf(services.verifyApiKey({ secretHash: secretHashOf(secret) }));
    expect([await verify(lasting.secret), await verify(expiring.secret)]).toEqual(["done", "done"]);
    auth.clock.advance(minuteMs);
    expect([await verify(lasting.secret), await verify(expiring.secret)]).toEqual(["done", badKey]);
    const apiKeyId = lasting.apiKey?.apiKeyId ?? "";
    await Promise.all([client.revokeApiKey({ apiKeyId }), client.revokeApiKey({ apiKeyId })]);
    expect(await verify(lasting.secret)).toBe(badKey);
    const events = (await auth.events()) as ApiKeyRevoked[];
    expect(events.slice(1)).toMatchObject([
      { $typeName: "muin.identity.v1.ApiKeyRevoked", apiKeyId, aggregateVersion: 2n },
    ]);
    expect(await outcomeOf(client.revokeApiKey({ apiKeyId: "nonsense" }))).toBe("NotFound API_KEY_NOT_FOUND");
    expect(await outcomeOf(client.revokeApiKey({ apiKeyId: "0199c5f2-6f0c-7aa0-8d6e-0a4f3a6b1c55" }))).toBe(
      "NotFound API_KEY_NOT_FOUND",
    );
    const live = await client.listApiKeys({});
    expect(live.apiKeys).toEqual([]);
    const all = await client.listApiKeys({ showEnded: true });
    expect(all.apiKeys.map((key) => [key.apiKeyId, key.revokeTime !== undefined])).toEqual([
      [expiring.apiKey?.apiKeyId ?? "", false],
      [apiKeyId, true],
    ]);
  });

  test("are listed newest first, in pages", async () => {
    await using auth = await startAuth();
    const client = auth.as(ApiKeyService, { caller: await newAdministrator(auth) });
    for (let key = 0; key < 5; key++) await client.createApiKey({ ...shop, displayName: `key ${key}` });
    const names: string[] = [];
    let pageToken = "";
    do {
      const page = await client.listApiKeys({ pageSize: 2, pageToken });
      names.push(...page.apiKeys.map((key) => key.displayName));
      pageToken = page.nextPageToken;
    } while (pageToken !== "");
    expect(names).toEqual(["key 4", "key 3", "key 2", "key 1", "key 0"]);
  });

  test("remember their last use to the minute, without a write on the path of a call", async () => {
    await using auth = await startAuth();
    const client = auth.as(ApiKeyService, { caller: await newAdministrator(auth) });
    const { secret } = await client.createApiKey(shop);
    const lastUse = async (): Promise<number | undefined> => {
      const [key] = (await client.listApiKeys({})).apiKeys;
      return key?.useTime && timestampMs(key.useTime);
    };
    const usedMs = auth.clock.now();
    await auth.as(ApiKeyService, { caller: service }).verifyApiKey({ secretHash: secretHashOf(secret) });
    expect(await lastUse()).toBeUndefined();
    for (const extra of auth.extras) {
      if (extra.part !== "background" || extra.component.name !== "auth api key uses") continue;
      await extra.component.start();
      await extra.component.stop(); // What was not written yet is written now.
    }
    expect(await lastUse()).toBe(Math.floor(usedMs / minuteMs) * minuteMs);
  });
});
