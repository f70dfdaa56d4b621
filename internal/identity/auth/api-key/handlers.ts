import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import type { ServiceImpl } from "@connectrpc/connect";
import type { ApiKeySchema, ApiKeyService } from "../../../gen/muin/identity/v1/api_key_service_pb.ts";
import { callerOf } from "../../../platform/identity/caller.ts";
import { scopesOfCaller } from "../../../platform/resource/caller-scopes.ts";
import { clientOf } from "../audit/client.ts";
import { orThrow } from "../../../platform/errors/refusal.ts";
import type { ApiKeys } from "./rules.ts";
import type { ApiKey } from "./store.ts";

/** Serves API keys. */
export function createApiKeyHandlers(apiKeys: ApiKeys): ServiceImpl<typeof ApiKeyService> {
  return {
    createApiKey: async ({ displayName, scopes, expireTime }, context) => {
      const key = { displayName, scopes, expireTimeMs: expireTime && timestampMs(expireTime) };
      const made = orThrow(await apiKeys.create(key, scopesOfCaller(callerOf(context)), clientOf(context)));
      return { apiKey: messageOf(made.apiKey), secret: made.secret };
    },
    listApiKeys: async (request) => {
      const { page, nextPageToken } = await apiKeys.list(request);
      return { apiKeys: page.map(messageOf), nextPageToken };
    },
    revokeApiKey: async ({ apiKeyId }, context) => {
      orThrow(await apiKeys.revoke(apiKeyId, clientOf(context)));
      return {};
    },
    verifyApiKey: async ({ secretHash }, context) => ({
      apiKey: messageOf(orThrow(await apiKeys.verify(secretHash, callerOf(context).principal))),
    }),
  };
}

function messageOf(key: ApiKey): MessageInitShape<typeof ApiKeySchema> {
  const { apiKeyId, displayName, scopes, createTimeMs, expireTimeMs, useTimeMs, revokeTimeMs } = key;
  return {
    apiKeyId,
    displayName,
    scopes: [...scopes],
    createTime: timestampFromMs(createTimeMs),
    ...(expireTimeMs === undefined ? {} : { expireTime: timestampFromMs(expireTimeMs) }),
    ...(useTimeMs === undefined ? {} : { useTime: timestampFromMs(useTimeMs) }),
    ...(revokeTimeMs === undefined ? {} : { revokeTime: timestampFromMs(revokeTimeMs) }),
  };
}
