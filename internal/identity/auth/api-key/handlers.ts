import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import type { ServiceImpl } from "@connectrpc/connect";
import type { ApiKeySchema, ApiKeyService } from "../../../gen/muin/identity/v1/api_key_service_pb.ts";
import { callerOf } from "../../../platform/identity/caller.ts";
import { fieldInvalid } from "../../../platform/resource/errors.ts";
import { clientOf } from "../audit/client.ts";
import { orThrow } from "../../../platform/errors/refusal.ts";
import type { ApiKeys } from "./rules.ts";
import type { ApiKey } from "./store.ts";

/** Serves API keys. */
export function createApiKeyHandlers(apiKeys: ApiKeys): ServiceImpl<typeof ApiKeyService> {
  return {
    createApiKey: async ({ displayName, scopes, expireTime, noEnd }, context) => {
      if (noEnd && expireTime !== undefined) throw fieldInvalid("no_end", "must be false beside an expire_time");
      const end = noEnd ? ("never" as const) : expireTime && timestampMs(expireTime);
      const key = { displayName, scopes, ...(end === undefined ? {} : { expireTimeMs: end }) };
      const made = orThrow(await apiKeys.create(key, callerOf(context), clientOf(context)));
      return { apiKey: apiKeyMessageOf(made.apiKey), secret: made.secret };
    },
    listApiKeys: async (request) => {
      const { page, nextPageToken } = await apiKeys.list(request);
      return { apiKeys: page.map(apiKeyMessageOf), nextPageToken };
    },
    revokeApiKey: async ({ apiKeyId }, context) => {
      orThrow(await apiKeys.revoke(apiKeyId, callerOf(context), clientOf(context)));
      return {};
    },
    verifyApiKey: async ({ secretHash }, context) => ({
      apiKey: apiKeyMessageOf(orThrow(await apiKeys.verify(secretHash, callerOf(context).principal))),
    }),
  };
}

/** A key as it is told of. */
export function apiKeyMessageOf(key: ApiKey): MessageInitShape<typeof ApiKeySchema> {
  const { apiKeyId, ownerId, displayName, scopes, createTimeMs, expireTimeMs, useTimeMs, revokeTimeMs } = key;
  return {
    apiKeyId,
    ownerId,
    displayName,
    scopes: [...scopes],
    createTime: timestampFromMs(createTimeMs),
    ...(expireTimeMs === undefined ? {} : { expireTime: timestampFromMs(expireTimeMs) }),
    ...(useTimeMs === undefined ? {} : { useTime: timestampFromMs(useTimeMs) }),
    ...(revokeTimeMs === undefined ? {} : { revokeTime: timestampFromMs(revokeTimeMs) }),
  };
}
