import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import type { ServiceImpl } from "@connectrpc/connect";
import type { ApiKeySchema, ApiKeyService } from "../../../gen/muin/identity/v1/api_key_service_pb.ts";
import { callerOf } from "../../../platform/identity/caller.ts";
import { clientOf } from "../audit/client.ts";
import { apiKeyNotFound } from "../errors.ts";
import { idOfPage, isUuid, pageSizeOf, scopesHeldBy } from "../request.ts";
import type { ApiKey, ApiKeys } from "./rules.ts";

/** Serves API keys. */
export function createApiKeyHandlers(apiKeys: ApiKeys): ServiceImpl<typeof ApiKeyService> {
  return {
    createApiKey: async (request, context) => {
      const { apiKey, secret } = await apiKeys.create(
        {
          displayName: request.displayName,
          scopes: request.scopes,
          expireTimeMs: request.expireTime && timestampMs(request.expireTime),
        },
        scopesHeldBy(callerOf(context)),
        clientOf(context),
      );
      return { apiKey: apiKeyMessage(apiKey), secret };
    },
    listApiKeys: async (request) => {
      const pageSize = pageSizeOf(request.pageSize);
      const found = await apiKeys.list(pageSize, idOfPage(request.pageToken), request.showEnded);
      return {
        apiKeys: found.map(apiKeyMessage),
        nextPageToken: found.length < pageSize ? "" : (found.at(-1)?.apiKeyId ?? ""),
      };
    },
    revokeApiKey: async (request, context) => {
      if (!isUuid(request.apiKeyId)) throw apiKeyNotFound();
      await apiKeys.revoke(request.apiKeyId, clientOf(context));
      return {};
    },
    verifyApiKey: async (request) => ({ apiKey: apiKeyMessage(await apiKeys.verify(request.secretHash)) }),
  };
}

function apiKeyMessage(key: ApiKey): MessageInitShape<typeof ApiKeySchema> {
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
